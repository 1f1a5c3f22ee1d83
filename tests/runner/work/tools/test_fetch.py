"""A page is fetched from hosts that are named, at addresses of the public internet, as the site's robots.txt allows.

The sites here are real servers on the loopback; the tests pass in who resolves names and which addresses count as
public. Production code has no such switch.
"""

from __future__ import annotations

import gzip
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runner.work.tools import fetch
from runner.work.tools.fetch import Fetcher, NotFetched, public_address

Answer = tuple[int, dict[str, str], bytes]
HTML = {"content-type": "text/html; charset=utf-8"}


class Site:
    """A web site on the loopback. `pages`: path to answer, or to what makes one."""

    def __init__(self) -> None:
        self.pages: dict[str, Answer | Callable[[], Answer]] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                found = site.pages.get(self.path, (404, {}, b"nothing here"))
                status, headers, body = found() if callable(found) else found
                self.send_response(status)
                for name, value in {"content-length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Tests print nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def asked(self) -> list[str]:
        return [path for path, _ in self.requests]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that stands still for a while makes no site a slow one; a test that is about that sets its own."""
    monkeypatch.setattr(fetch, "DEADLINE_S", 240.0)
    monkeypatch.setattr(fetch, "SILENCE_S", 120.0)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> float:
    """The wall clock of those who take turns at a host, standing still."""
    at = 1_900_000_000.0
    monkeypatch.setattr(fetch, "time", SimpleNamespace(time=lambda: at, monotonic=lambda: at))
    return at


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    made.pages["/a"] = (200, HTML, b"<html><h1>Alpha</h1><p>One &amp; two</p></html>")
    yield made
    made.close()


def fetcher(site: Site, *domains: str, addresses: Sequence[str] = ("127.0.0.1",), **options: Any) -> Fetcher:
    """One for which the loopback is the internet, and every name leads there."""

    async def resolver(host: str, port: int) -> Sequence[str]:
        return addresses

    return Fetcher(
        domains or (f"site.example:{site.port}",),
        resolver=resolver,
        allowed_address=lambda address: address == "127.0.0.1",
        **{"pace_s": 0.0, **options},
    )


def test_a_page_comes_as_text_under_our_own_name(site: Site) -> None:
    page = fetcher(site).fetch(f"http://site.example:{site.port}/a")

    assert (page.text, page.cut) == ("Alpha\nOne & two", False)
    assert site.asked() == ["/robots.txt", "/a"]
    headers = site.requests[1][1]
    assert headers["user-agent"].startswith("afk-runner/")
    assert headers["host"] == f"site.example:{site.port}"
    assert not headers.keys() & {"cookie", "authorization", "referer"}


@pytest.mark.parametrize(
    "url",
    [
        "http://other.example:PORT/a",
        "http://site.example.evil.example:PORT/a",
        "http://evilsite.example:PORT/a",
        "http://127.0.0.1:PORT/a",
        "http://[::1]:PORT/a",
        "http://2130706433:PORT/a",
        "http://0x7f.1:PORT/a",
        "http://site.example:PORT@other.example/a",
        "http://other.example#@site.example:PORT/a",
        "http://other.example\\@site.example:PORT/a",
        "http://site.example/a",
        "http://site.example:1/a",
        "https://site.example/a",
        "ftp://site.example:PORT/a",
        "file:///etc/passwd",
        "//site.example:PORT/a",
        "site.example:PORT/a",
        "http://user:pw@site.example:PORT/a",
        "http://site.example:PORT/a\nX: y",
        "http://site.example:PORT/" + "a" * 2_000,
        "http://",
        "",
        "http://site.example:99999/a",
    ],
)
def test_what_is_not_named_is_not_asked(site: Site, url: str) -> None:
    """However a URL is dressed up, the host that is checked is the one that would be asked."""
    with pytest.raises(NotFetched):
        fetcher(site).fetch(url.replace("PORT", str(site.port)))
    assert site.requests == []


def test_a_star_means_all_below_a_name_and_not_itself(site: Site) -> None:
    many = fetcher(site, f"*.site.example:{site.port}")

    assert many.fetch(f"http://Docs.site.example:{site.port}/a").text.startswith("Alpha")
    with pytest.raises(NotFetched, match="not among the hosts"):
        many.fetch(f"http://site.example:{site.port}/a")


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254"),
        *("100.64.0.1", "224.0.0.1", "255.255.255.255", "198.18.0.1", "192.0.2.1", "240.0.0.1"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fec0::1", "ff02::1", "fd00:ec2::254", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::1"),
        *("2001:0:7f00:1::1", "::127.0.0.1", "no address", ""),
    ],
)
def test_an_address_of_our_own_net_is_not_public(address: str) -> None:
    """Loopback, private, link-local, metadata, reserved, and each of them in the clothes of IPv6."""
    assert not public_address(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1"])
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert public_address(address)


def test_a_name_that_leads_inside_is_not_asked(site: Site) -> None:
    """As the program is, with nothing passed in: the loopback is closed."""
    with pytest.raises(NotFetched, match="not an address of the public internet"):
        Fetcher([f"localhost.:{site.port}", f"localhost:{site.port}"]).fetch(f"http://localhost:{site.port}/a")
    assert site.requests == []


def test_one_inner_address_among_good_ones_is_enough_to_refuse(site: Site) -> None:
    with pytest.raises(NotFetched, match=r"leads to 10\.0\.0\.1"):
        fetcher(site, addresses=("127.0.0.1", "10.0.0.1")).fetch(f"http://site.example:{site.port}/a")
    assert site.requests == []


def test_the_address_that_was_checked_is_the_one_that_is_asked(site: Site) -> None:
    """A name server that answers differently the second time (rebinding) is never asked a second time for a request."""
    inner = Site()
    answers = Counter[str]()

    async def resolver(host: str, port: int) -> Sequence[str]:
        answers[host] += 1
        return ["127.0.0.1"] if answers[host] <= 2 else ["127.0.0.2"]  # robots.txt, the page; then inside

    asker = Fetcher(
        [f"site.example:{site.port}"],
        resolver=resolver,
        allowed_address=lambda address: address == "127.0.0.1",
        pace_s=0.0,
    )
    assert asker.fetch(f"http://site.example:{site.port}/a").text.startswith("Alpha")
    with pytest.raises(NotFetched, match=r"leads to 127\.0\.0\.2"):
        asker.fetch(f"http://site.example:{site.port}/a")

    assert answers["site.example"] == 3
    assert site.asked() == ["/robots.txt", "/a"]
    inner.close()


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("http://other.example:PORT/a", "not among the hosts"),
        ("http://127.0.0.1:PORT/a", "not among the hosts"),
        ("file:///etc/passwd", "is not an http or https URL"),
        ("http://u:p@site.example:PORT/a", "a user or a password"),
        ("/closed", "closed to programs"),
        ("/loop", "more than 5 redirects"),
        ("http://a.example:99999/", "Invalid URL in location header|not among the hosts"),
        ("http://a.example:x/", "Invalid URL in location header"),
        ("http://" + "a" * 70_000, "Invalid URL in location header|not a URL|could not be fetched"),
    ],
)
def test_every_hop_is_checked_anew(site: Site, target: str, said: str) -> None:
    """A page that is allowed may lead anywhere; we do not follow it there."""
    site.pages["/robots.txt"] = (200, {}, b"User-agent: *\nDisallow: /closed\n")
    site.pages["/go"] = (302, {"location": target.replace("PORT", str(site.port))}, b"")
    site.pages["/loop"] = (301, {"location": "/loop"}, b"")

    with pytest.raises(NotFetched, match=said):
        fetcher(site).fetch(f"http://site.example:{site.port}/go")

    assert "/closed" not in site.asked()


def test_a_redirect_within_what_is_allowed_is_followed(site: Site) -> None:
    site.pages["/go"] = (308, {"location": "/a#part"}, b"")
    page = fetcher(site).fetch(f"http://site.example:{site.port}/go")

    assert (page.url, page.text) == (f"http://site.example:{site.port}/a", "Alpha\nOne & two")


@pytest.mark.parametrize(
    ("robots", "said"),
    [
        ((200, {}, b"User-agent: *\nDisallow: /"), "closed to programs"),
        ((200, {}, b"User-agent: afk-runner\nDisallow: /a"), "closed to programs"),
        ((503, {}, b""), "answered HTTP 503, so nothing may be fetched"),
        ((200, {}, b"User-agent: *\nCrawl-delay: 900"), "wants 900 seconds between two requests"),
        ((301, {"location": "http://other.example/robots.txt"}, b""), "not among the hosts"),
    ],
)
def test_a_site_that_says_no_is_not_asked(site: Site, robots: Answer, said: str) -> None:
    site.pages["/robots.txt"] = robots
    with pytest.raises(NotFetched, match=said):
        fetcher(site).fetch(f"http://site.example:{site.port}/a")
    assert "/a" not in site.asked()


def test_robots_txt_is_asked_for_once_an_attempt(site: Site) -> None:
    asker = fetcher(site)
    for _ in range(3):
        asker.fetch(f"http://site.example:{site.port}/a")
    assert site.asked() == ["/robots.txt", "/a", "/a", "/a"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((404, {}, b""), "answered HTTP 404"),
        ((500, {}, b""), "answered HTTP 500"),
        ((304, {}, b""), "answered HTTP 304"),
        ((302, {}, b""), "answered HTTP 302"),
        ((200, {"content-type": "image/png"}, b"\x89PNG"), "'image/png', which is not text"),
        ((200, {"content-type": "application/octet-stream"}, b"x"), "which is not text"),
        ((200, {"content-type": "text/plain", "content-encoding": "gzip"}, b"not gzip"), "could not be fetched"),
        ((200, {"content-type": "text/plain", "content-length": "100"}, b"short"), "could not be fetched"),
    ],
)
def test_what_is_no_page_is_a_sentence(site: Site, answer: Answer, said: str) -> None:
    site.pages["/x"] = answer
    with pytest.raises(NotFetched, match=said):
        fetcher(site).fetch(f"http://site.example:{site.port}/x")


@pytest.mark.parametrize(
    ("headers", "body", "text"),
    [
        ({"content-type": "application/json"}, b'{"a": 1}', '{"a": 1}'),
        ({"content-type": "application/feed+json"}, b"[]", "[]"),
        ({}, b"plain", "plain"),
        ({"content-type": "text/plain; charset=latin-1"}, b"caf\xe9", "caf\u00e9"),
        ({"content-type": "text/plain; charset=no-such"}, b"caf\xc3\xa9", "caf\u00e9"),
        ({"content-type": "text/plain; charset=rot13"}, b"abc", "abc"),
        ({"content-type": "text/plain"}, b"\xff", "\ufffd"),
        (HTML, b"<script>x()</script><a href='/b'>more</a><style>p{}</style><p>end", "more </b>\nend"),
        (HTML, b"<p " + b"<" * 500, "<p " + "<" * 500),
    ],
)
def test_text_of_every_kind_is_text(site: Site, headers: dict[str, str], body: bytes, text: str) -> None:
    site.pages["/x"] = (200, headers, body)
    assert fetcher(site).fetch(f"http://site.example:{site.port}/x").text == text


def test_a_page_without_end_is_cut(site: Site) -> None:
    """What is packed counts unpacked: a small answer may be a very long page."""
    packed = gzip.compress(b"x" * 50_000_000)
    site.pages["/x"] = (200, {"content-type": "text/plain", "content-encoding": "gzip"}, packed)

    page = fetcher(site).fetch(f"http://site.example:{site.port}/x")

    assert (len(page.text), page.cut) == (fetch.MAX_PAGE_BYTES, True)


def test_a_site_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time, the page never: one deadline holds for all of it."""
    monkeypatch.setattr(fetch, "DEADLINE_S", 0.5)
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            line, _ = server.accept()
            with line:
                line.sendall(b"HTTP/1.1 200 OK\r\nx-slow: ")
                while not over.wait(0.05):
                    try:
                        line.sendall(b"a")
                    except OSError:
                        return

        threading.Thread(target=drip, daemon=True).start()
        port = server.getsockname()[1]

        async def resolver(host: str, _: int) -> Sequence[str]:
            return ["127.0.0.1"]

        slow = Fetcher([f"a.example:{port}"], resolver=resolver, allowed_address=lambda _: True, pace_s=0.0)
        with pytest.raises(NotFetched, match="did not come within"):
            slow.fetch(f"http://a.example:{port}/")
        over.set()


@pytest.mark.usefixtures("now")
def test_a_host_is_asked_no_faster_than_its_pace_by_all_workers_together(tmp_path: Path) -> None:
    """The moments are handed out under one lock: each asker gets its own, a pace apart."""
    turns = [fetch._turn(tmp_path, "site.example", 2.0) for _ in range(4)]
    other = fetch._turn(tmp_path, "other.example", 2.0)

    assert turns[0] == other == 0.0
    assert all(later - sooner == pytest.approx(2.0) for sooner, later in pairwise(turns))


def test_a_pace_that_was_tampered_with_holds_nobody(tmp_path: Path, now: float) -> None:
    """A clock set back, or a file with something else in it, must not stop a host for ever."""
    fetch._turn(tmp_path, "a.example", 1.0)
    (file,) = tmp_path.iterdir()
    for text in (f"{now + 1e6}", "nan", "x", "", "-1", "9" * 400):
        file.write_text(text)
        assert fetch._turn(tmp_path, "a.example", 1.0) == 0.0


@pytest.mark.usefixtures("now")
def test_too_many_who_wait_for_a_host_are_told_so(tmp_path: Path, site: Site) -> None:
    while fetch._turn(tmp_path, "site.example", 10.0) <= fetch.LONGEST_PACE_S:
        pass
    with pytest.raises(NotFetched, match="too many requests wait"):
        fetcher(site, paces=tmp_path).fetch(f"http://site.example:{site.port}/a")
    assert site.requests == []


def test_a_host_without_an_address_is_a_sentence(site: Site) -> None:
    async def resolver(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(-2, "Name or service not known")

    with pytest.raises(NotFetched, match=r"site\.example has no address: Name or service not known"):
        Fetcher([f"site.example:{site.port}"], resolver=resolver).fetch(f"http://site.example:{site.port}/a")
