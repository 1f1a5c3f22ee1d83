"""Fetching a page for an agent: only hosts that are named, only public addresses, only what robots.txt allows.

Every hop is checked anew. A name is resolved once, the address is checked, and that address is what is connected to: a
second answer of the name server (DNS rebinding) is never asked for. One deadline holds for all of it.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import ipaddress
import os
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import httpx

from runner.work.tools.html import text_of_html
from runner.work.tools.robots import MAX_BYTES as MAX_ROBOTS_BYTES
from runner.work.tools.robots import Robots

PROGRAM = "afk-runner"
DEADLINE_S = 60.0
"""For a page with its robots.txt, redirects and waits."""
SILENCE_S = 15.0
MAX_PAGE_BYTES = 2_000_000
MOST_HOPS = 5
MAX_URL_CHARS = 2_000
PACE_S = 1.0
"""Between two requests to one host, over all workers of a home."""
LONGEST_PACE_S = 20.0
"""A site that asks for more between two requests is not fetched from."""
_TEXT_TYPES = ("application/json", "application/xml", "application/xhtml+xml", "application/javascript")
_PORTS: Mapping[str, int] = {"http": 80, "https": 443}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port to addresses. Raises OSError."""


class NotFetched(Exception):
    """The page was not fetched. The message is one sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a fetch gave."""

    url: str
    """Where it was found, after redirects."""
    text: str
    cut: bool
    """It was longer than `MAX_PAGE_BYTES`."""


def public_address(address: str) -> bool:
    """Whether an address is one of the public internet, also when it is wrapped in another kind of address."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or (ipaddress.IPv4Address(int(found) & 0xFFFF_FFFF) if found in _NAT64 else None)
        if inner is not None:
            return public_address(str(inner))
        if found.sixtofour is not None or found.teredo is not None or found.is_site_local:
            return False
    return found.is_global and not found.is_multicast and not found.is_reserved and not found.is_unspecified


async def resolve(host: str, port: int) -> list[str]:
    """Ask the system for the addresses of a host. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Fetcher:
    """Fetches for one attempt."""

    def __init__(
        self,
        domains: Sequence[str],
        *,
        paces: Path | None = None,
        resolver: Resolve = resolve,
        allowed_address: Callable[[str], bool] = public_address,
        pace_s: float = PACE_S,
    ) -> None:
        """`domains`: `example.org`, `*.example.net`, either with a port. `paces`: a folder that all workers share."""
        self._domains = tuple(domains)
        self._paces = paces
        self._resolve = resolver
        self._allowed_address = allowed_address
        self._pace_s = pace_s
        self._robots: dict[str, Robots] = {}
        self._turns: dict[str, float] = {}

    def fetch(self, url: str) -> Page:
        """The text of a page. Raises NotFetched."""
        return asyncio.run(self._in_time(url))

    async def _in_time(self, url: str) -> Page:
        try:
            async with asyncio.timeout(DEADLINE_S):
                return await self._fetch(url)
        except TimeoutError:
            raise NotFetched(f"{url[:200]} did not come within {DEADLINE_S:g} seconds") from None

    async def _fetch(self, url: str) -> Page:
        async with httpx.AsyncClient(
            trust_env=False,
            follow_redirects=False,
            timeout=SILENCE_S,
            limits=httpx.Limits(max_keepalive_connections=0),  # two hosts of one address must not share a connection
            headers={"user-agent": user_agent(), "accept": "text/html, text/*, application/json;q=0.9, */*;q=0.1"},
        ) as client:
            place = self._checked(url)
            for _ in range(MOST_HOPS + 1):
                robots = await self._robots_of(client, place)
                asked = place.raw_path.decode("ascii")
                if not robots.allows(asked):
                    raise NotFetched(f"{place} is closed to programs by its site's robots.txt")
                status, headers, body, cut = await self._get(client, place, MAX_PAGE_BYTES, pace_s=robots.delay_s)
                if status in (301, 302, 303, 307, 308) and "location" in headers:
                    place = self._next(place, headers["location"])
                    continue
                if status != 200:
                    raise NotFetched(f"{place} answered HTTP {status}")
                return Page(url=str(place), text=_text(place, headers, body), cut=cut)
        raise NotFetched(f"{url[:200]} leads on through more than {MOST_HOPS} redirects")

    def _checked(self, url: str) -> httpx.URL:
        """The address of a page that may be asked for. The same parser reads it here and for the request."""
        if len(url) > MAX_URL_CHARS or not url.isprintable():
            raise NotFetched(f"a URL has up to {MAX_URL_CHARS:,} printable characters")
        try:
            place = httpx.URL(url.strip()).copy_with(fragment=None)
            host, port = place.raw_host.decode("ascii").lower().rstrip("."), place.port
        except (httpx.InvalidURL, ValueError, UnicodeError, TypeError) as error:
            raise NotFetched(f"{url[:200]!r} is not a URL: {error}") from None
        if place.scheme not in _PORTS or not host:
            raise NotFetched(f"{url[:200]!r} is not an http or https URL")
        if place.userinfo:
            raise NotFetched("a URL with a user or a password in it is not fetched")
        if not any(_covers(domain, host, port or _PORTS[place.scheme], place.scheme) for domain in self._domains):
            raise NotFetched(f"{host} is not among the hosts this task may ask: {', '.join(self._domains)}")
        return place

    def _next(self, place: httpx.URL, location: str) -> httpx.URL:
        """Where a redirect leads, if we may go there."""
        try:
            target = str(place.join(location))
        except (httpx.InvalidURL, ValueError, UnicodeError) as error:
            raise NotFetched(f"{place} leads to {location[:200]!r}, which is not a URL: {error}") from None
        return self._checked(target)

    async def _robots_of(self, client: httpx.AsyncClient, place: httpx.URL) -> Robots:
        """The rules of a site. What does not exist forbids nothing; what cannot be read forbids everything."""
        site = str(place.copy_with(raw_path=b"/"))
        if site in self._robots:
            return self._robots[site]
        at = place.copy_with(raw_path=b"/robots.txt")
        text = ""
        for _ in range(MOST_HOPS + 1):
            status, headers, body, _ = await self._get(client, at, MAX_ROBOTS_BYTES, pace_s=None)
            if status in (301, 302, 303, 307, 308) and "location" in headers:
                at = self._next(at, headers["location"])
                continue
            if status >= 500 or status == 429:
                raise NotFetched(f"{at} answered HTTP {status}, so nothing may be fetched from there now")
            text = body.decode("utf-8", "replace") if status == 200 else ""
            break
        else:
            raise NotFetched(f"{site}robots.txt leads on through more than {MOST_HOPS} redirects")
        self._robots[site] = Robots(text, program=PROGRAM)
        return self._robots[site]

    async def _get(
        self, client: httpx.AsyncClient, place: httpx.URL, most: int, *, pace_s: float | None
    ) -> tuple[int, httpx.Headers, bytes, bool]:
        """Status, headers, body up to `most` bytes, and whether it was cut. Raises NotFetched."""
        host, port = place.raw_host.decode("ascii"), place.port or _PORTS[place.scheme]
        await self._pace(host, max(self._pace_s, pace_s or 0.0))
        request = self._request(client, place, await self._address(host, port))
        body, cut = bytearray(), False
        try:
            response = await client.send(request, stream=True)
            try:
                if response.status_code == 200:
                    async for chunk in response.aiter_bytes():
                        body += chunk
                        if len(body) > most:
                            cut = True
                            break
            finally:
                await response.aclose()
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError) as error:
            raise NotFetched(f"{place} could not be fetched: {str(error) or type(error).__name__}") from None
        client.cookies.clear()
        return response.status_code, response.headers, bytes(body[:most]), cut

    @staticmethod
    def _request(client: httpx.AsyncClient, place: httpx.URL, address: str) -> httpx.Request:
        """A request that goes to the checked address, and is still for the named host, its certificate included."""
        named: dict[str, Any] = {"sni_hostname": place.raw_host.decode("ascii")}
        headers = {"host": place.netloc.decode("ascii")}
        return client.build_request("GET", place.copy_with(host=address), headers=headers, extensions=named)

    async def _address(self, host: str, port: int) -> str:
        """An address of a host. One that is not public among them means that somebody plays tricks with the name."""
        try:
            found = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise NotFetched(f"{host} has no address: {getattr(error, 'strerror', None) or error}") from None
        if not found:
            raise NotFetched(f"{host} has no address")
        for address in found:
            if not self._allowed_address(address):
                raise NotFetched(f"{host} leads to {address}, which is not an address of the public internet")
        return found[0]

    async def _pace(self, host: str, pace_s: float) -> None:
        """Wait for our turn at a host."""
        if pace_s > LONGEST_PACE_S:
            raise NotFetched(f"{host} wants {pace_s:g} seconds between two requests, which is too slow to work with")
        if self._paces is None:
            wait = self._own_turn(host, pace_s)
        else:
            wait = await asyncio.to_thread(_turn, self._paces, host, pace_s)
        if wait > LONGEST_PACE_S:
            raise NotFetched(f"too many requests wait for {host} already")
        await asyncio.sleep(wait)

    def _own_turn(self, host: str, pace_s: float) -> float:
        now = time.monotonic()
        at = max(now, self._turns.get(host, now))
        self._turns[host] = at + pace_s
        return at - now


def _turn(folder: Path, host: str, pace_s: float) -> float:
    """Take the next free moment at a host, under a lock that all workers share; seconds until it."""
    path = folder / f"pace-{hashlib.sha256(host.encode()).hexdigest()[:16]}"
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError:
        return pace_s  # no memory of the last request: wait as if it had been just now
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        now = time.time()
        last = os.pread(fd, 32, 0)
        try:
            at = float(last) if last else now
        except ValueError:
            at = now
        if not now <= at <= now + 2 * LONGEST_PACE_S:  # long ago, or the clock was set back
            at = now
        if at - now <= LONGEST_PACE_S:
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{at + pace_s:.3f}".encode(), 0)
        return at - now
    finally:
        os.close(fd)


def _covers(domain: str, host: str, port: int, scheme: str) -> bool:
    name, _, own_port = domain.partition(":")
    if (int(own_port) if own_port else _PORTS[scheme]) != port:
        return False
    return host.endswith(name[1:]) and len(host) > len(name[1:]) if name.startswith("*.") else host == name


def _text(place: httpx.URL, headers: httpx.Headers, body: bytes) -> str:
    kind = headers.get("content-type", "text/plain").partition(";")[0].strip().lower()
    if not (kind.startswith("text/") or kind in _TEXT_TYPES or kind.endswith(("+json", "+xml"))):
        raise NotFetched(f"{place} is {kind[:80]!r}, which is not text")
    charset = httpx.Response(200, headers={"content-type": headers.get("content-type", "")}).charset_encoding or "utf-8"
    try:
        text = body.decode(charset, "replace")
    except (LookupError, ValueError):
        text = body.decode("utf-8", "replace")
    return text_of_html(text) if kind in ("text/html", "application/xhtml+xml") else text


def user_agent() -> str:
    """What we call ourselves: program and version."""
    try:
        return f"{PROGRAM}/{metadata.version('afk-console')}"
    except metadata.PackageNotFoundError:
        return f"{PROGRAM}/0"
