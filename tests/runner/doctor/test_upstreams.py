"""Upstreams are asked over real sockets, and never for anything that costs."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from runner.config import UpstreamConfig
from runner.doctor import upstreams
from runner.doctor.finding import Finding
from runner.doctor.look import Look
from runner.settings import load
from runner.units import UnixMs
from tests.runner.cli.world import SETTINGS

KEY = "sk-good-0123456789"


class Vendor(ThreadingHTTPServer):
    """Lists models to whoever has the key."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.models = ["claude-haiku-4-5-20251001"]
        self.aliases = ["claude-haiku-4-5"]
        self.open_to_all = False
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.asked: list[tuple[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Vendor

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        self.server.asked.append((self.command, self.path))
        keyed = KEY in (self.headers["x-api-key"] or "") + (self.headers["authorization"] or "")
        name = self.path.partition("?")[0].removeprefix("/v1/models").lstrip("/")
        status = 200
        if not keyed and not self.server.open_to_all:
            status = 401
        elif name and name not in self.server.models + self.server.aliases:
            status = 404
        content = json.dumps({"data": [{"id": model} for model in self.server.models]}).encode()
        self.send_response_only(self.server.status or status)
        for field, value in {"content-length": str(len(content)), **self.server.headers}.items():
            self.send_header(field, value)
        self.end_headers()
        self.wfile.write(content)

    def do_POST(self) -> None:
        self.server.asked.append((self.command, self.path))
        self.send_error(500)


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    with Vendor() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def asked(look: Look, upstream: UpstreamConfig, *, model: str = "claude-haiku-4-5") -> list[Finding]:
    key = 'key = "env:A_KEY"\n' if upstream.key else ""
    look.home.config.write_text(
        f'{SETTINGS}[upstreams.up]\nurl = "{upstream.url}"\nwire = "anthropic"\n'
        f"local = {str(upstream.local).lower()}\n{key}"
        f'[models]\n"{model}" = "up"\n[tasks.t]\nkind = "prompt"\nmodel = "{model}"\nprompt = "p"\n'.replace(
            'wire = "anthropic"', f'wire = "{upstream.wire}"'
        )
    )
    config = load(look.home.root, environ={"A_KEY": upstream.key or ""})
    look = replace(look, config=config, tasks=config.tasks)
    return list(upstreams.reached(look, replace(config.upstreams["up"], wire=upstream.wire)))


def of(vendor: Vendor, *, key: str | None = KEY, local: bool = False, wire: str = "anthropic") -> UpstreamConfig:
    return UpstreamConfig(name="up", url=vendor.url, key=key, local=local, wire=wire)


@pytest.mark.parametrize("wire", ["anthropic", "openai"])
def test_a_good_key_is_accepted_and_nothing_is_bought(look: Look, vendor: Vendor, wire: str) -> None:
    (found,) = asked(look, of(vendor, wire=wire))

    assert (found.level.value, found.text) == ("ok", f"up: {vendor.url} answers, and takes the key")
    assert {method for method, _ in vendor.asked} == {"GET"}
    assert all(path.startswith("/v1/models") for _, path in vendor.asked)


def test_a_refused_key_fails_with_all_that_mends_it(look: Look, vendor: Vendor) -> None:
    (found,) = asked(look, of(vendor, key="sk-bad-0123456789"))

    assert found.level.value == "fail"
    assert "its key is refused (401)" in found.text
    assert found.mend is not None
    assert "breaker reset 'up/*'" in found.mend


def test_a_list_that_anybody_may_see_proves_no_key(look: Look, vendor: Vendor) -> None:
    vendor.open_to_all = True

    (found,) = asked(look, of(vendor, key="sk-anything-012345"))

    assert found.text.endswith("answers, to anybody: only a call tells whether its key is good")


@pytest.mark.parametrize(
    ("status", "level", "said"),
    [
        (404, "ok", "it lists no models"),
        (429, "ok", "later"),
        (307, "warn", "sends callers elsewhere"),
        (503, "warn", "answers 503"),
    ],
)
def test_other_answers_are_told_for_what_they_are(
    look: Look, vendor: Vendor, status: int, level: str, said: str
) -> None:
    vendor.status = status
    vendor.headers = {"location": "http://127.0.0.1:9/elsewhere"} if status == 307 else {}

    (found,) = asked(look, of(vendor))

    assert found.level.value == level
    assert said in found.text


def test_a_model_the_vendor_does_not_have_is_told(look: Look, vendor: Vendor) -> None:
    found = asked(look, of(vendor), model="claude-haikoo-4-5")

    assert [each.level.value for each in found] == ["ok", "warn"]
    assert "has no model claude-haikoo-4-5, which task t names" in found[1].text


def test_a_local_model_that_was_not_pulled_fails(look: Look, vendor: Vendor) -> None:
    vendor.open_to_all = True
    vendor.models = ["qwen3:latest"]
    local = of(vendor, key=None, local=True)

    (good,) = asked(look, local, model="qwen3")
    missing = asked(look, local, model="llama9")

    assert good.level.value == "ok"
    assert [each.level.value for each in missing] == ["ok", "fail"]
    assert missing[1].mend is not None


def test_an_upstream_that_is_not_there_is_a_warning(look: Look, vendor: Vendor) -> None:
    """Its jobs wait, so nothing is lost; the line says whom to start."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # nobody listens, and nobody else can have the port meanwhile
        gone = replace(of(vendor, key=None, local=True), url=f"http://127.0.0.1:{closed.getsockname()[1]}")

        (found,) = asked(look, gone)

    assert found.level.value == "warn"
    assert "cannot be reached" in found.text
    assert "ollama serve" in (found.mend or "")


def test_an_upstream_that_says_nothing_is_not_waited_for(
    look: Look, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstreams, "ASK_S", 0.2)
    never = threading.Event()
    hang: Callable[[Handler], object] = lambda _self: never.wait()  # noqa: E731 - a method of one test
    monkeypatch.setattr(Handler, "do_GET", hang)
    try:
        (found,) = asked(look, of(vendor))
    finally:
        never.set()

    assert "it does not answer in time" in found.text


def test_a_clock_that_differs_from_the_vendors_is_told(look: Look, vendor: Vendor) -> None:
    vendor.headers = {"date": "Fri, 01 Jan 2027 00:00:00 GMT"}
    late = replace(look, now=UnixMs(1_798_761_600_000 - 600_000))

    found = asked(late, of(vendor))

    assert [each.text for each in found if each.name == "clock"] == ["our clock is 10m behind that of up"]


def test_offline_opens_no_connection(look: Look, vendor: Vendor) -> None:
    (found,) = asked(replace(look, offline=True), of(vendor))

    assert "not asked" in found.text
    assert vendor.asked == []
