"""Where model calls go: which upstream serves a model, and the connection to it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import httpx

from runner.config import UpstreamConfig
from runner.gate import offline, plain
from runner.gate.answer import Answer
from runner.gate.http import BadRequest
from runner.gate.local import LocalModels
from runner.redact import Redactor

OFFLINE = UpstreamConfig(name="offline", url="offline:", local=True)
"""The built-in model: no network, no key, the same answer to the same question."""
OFFLINE_PREFIX = "offline/"
NO_SECRETS = Redactor(())

_PASSED_UP = {"anthropic": ("anthropic-version", "anthropic-beta", "user-agent"), "openai": ("user-agent",)}
_DEFAULT_VERSION = b"2023-06-01"
CONNECT_S = 10
LARGE_BYTES = 256 * 1024


@dataclass(slots=True, kw_only=True)
class Outgoing:
    """A call made ready: whatever can fail on our side has been tried before money is held for it."""

    upstream: UpstreamConfig
    body: dict[str, Any]
    request: httpx.Request | None
    """None: the built-in model answers."""
    redact: Redactor = NO_SECRETS
    """Takes out the key of the upstream."""
    sent: bool = False
    """Bytes of it may have reached the upstream."""
    sleeps: int = 0
    """Sleeps of this machine that were noticed before it was made ready."""

    def without_key(self, answer: bytes) -> bytes:
        """A whole answer of the upstream as a client, or a row, may hold it: some quote the key they refuse."""
        return self.redact.bytes(answer)


@dataclass(slots=True)
class _Http:
    response: httpx.Response
    headers: Mapping[str, str]

    @property
    def status(self) -> int:
        return self.response.status_code

    async def chunks(self) -> AsyncIterator[bytes]:
        async for chunk in self.response.aiter_bytes():
            yield chunk


@dataclass(slots=True)
class _Offline:
    body: dict[str, Any]
    status: int = 200

    @property
    def headers(self) -> Mapping[str, str]:
        return {"content-type": "text/event-stream" if self.body.get("stream") else "application/json"}

    async def chunks(self) -> AsyncIterator[bytes]:
        message = await asyncio.to_thread(offline.answer, self.body)
        if self.body.get("stream"):
            for event in offline.stream(message):
                yield event
        else:
            yield httpx.Response(200, json=message).content


def base_url(upstream: UpstreamConfig) -> str:
    """Where its endpoints begin. People write it with and without the version.

    On the OpenAI wire a path of any other kind is taken as it is, as the vendor's own clients take a base URL.
    """
    if upstream.wire == "openai" and urlsplit(upstream.url).path:
        return upstream.url
    return upstream.url.removesuffix("/v1") + "/v1"


@cache
def _trust() -> ssl.SSLContext:
    """Whom we believe to be who they say; to read it takes 0.1 s of a core, and each client needs it."""
    return httpx.create_ssl_context(trust_env=False)


def _connections() -> httpx.AsyncHTTPTransport:
    """What lies below a client of httpx.

    It knows no proxy or netrc of whoever started us, follows no redirect with a key, and keeps no cookie of one job's
    answer for the next call of another.
    """
    return httpx.AsyncHTTPTransport(verify=_trust(), trust_env=False, limits=httpx.Limits(max_connections=256))


def _sent(content: bytes) -> bytes | AsyncIterator[bytes]:
    """A large body goes out piece by piece: to hand it over whole copies it three times at a stretch."""
    return content if len(content) <= LARGE_BYTES else _pieces(content)


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), LARGE_BYTES):
        yield content[start : start + LARGE_BYTES]


@cache
def _address(url: str) -> httpx.URL:
    return httpx.URL(url)


class Upstreams:
    """All upstreams of a configuration, over one pool of connections."""

    def __init__(
        self,
        upstreams: Mapping[str, UpstreamConfig],
        models: Mapping[str, str],
        *,
        awaits_network: Callable[[], bool] = lambda: False,
    ) -> None:
        """`awaits_network`: whether this machine woke a moment ago and its network did not come back yet."""
        self._awaits_network = awaits_network
        self._upstreams = upstreams
        self._models = models
        self._redactors = {name: Redactor((upstream.key or "",)) for name, upstream in upstreams.items()}
        self._far = _connections()
        self._near = _connections()
        """To upstreams on this machine, which outlive its sleep."""
        self._sleeps = 0
        self._locals = LocalModels(httpx.AsyncClient(transport=self._near, trust_env=False))

    def serving(self, model: str) -> UpstreamConfig | None:
        """The upstream a model id is routed to: the longest match wins; None when nothing matches."""
        if model.startswith(OFFLINE_PREFIX):
            return OFFLINE
        matches = [
            (pattern.endswith("*"), pattern)
            for pattern in self._models
            if model == pattern or (pattern.endswith("*") and model.startswith(pattern[:-1]))
        ]
        if not matches:
            return None
        _, best = max(matches, key=lambda match: (not match[0], len(match[1])))
        return self._upstreams[self._models[best]]

    def prepare(
        self, upstream: UpstreamConfig, path: str, body: dict[str, Any], *, headers: Mapping[str, str], query: str
    ) -> Outgoing:
        """Make a request ready; the key is added here and nowhere else. `path`: below the version.

        Raises BadRequest.
        """
        if upstream is OFFLINE:
            return Outgoing(upstream=upstream, body=body, request=None)
        try:
            content = plain.dumps(body, sent=True).encode()
        except ValueError as error:
            raise BadRequest(400, f"the body cannot be passed on: {error}") from None
        up = {name.encode(): headers[name].encode("latin-1") for name in _PASSED_UP[upstream.wire] if name in headers}
        up[b"accept-encoding"] = b"identity"  # what is metered is what is read
        up[b"content-type"] = b"application/json"
        up[b"accept"] = b"*/*"
        up[b"content-length"] = b"%d" % len(content)
        up.setdefault(b"user-agent", b"afk-runner")
        if upstream.wire == "anthropic":
            up.setdefault(b"anthropic-version", _DEFAULT_VERSION)
        if upstream.key is not None:
            name, word = (b"x-api-key", "") if upstream.wire == "anthropic" else (b"authorization", "Bearer ")
            up[name] = f"{word}{upstream.key}".encode()
        url = base_url(upstream) + path + ("?beta=true" if "beta=true" in query.split("&") else "")
        timeout = httpx.Timeout(upstream.timeout_ms / 1000, connect=CONNECT_S)
        return Outgoing(
            upstream=upstream,
            body=body,
            redact=self._redactors[upstream.name],
            request=httpx.Request(
                "POST", _address(url), content=_sent(content), headers=up, extensions={"timeout": timeout.as_dict()}
            ),
            sleeps=self._sleeps,
        )

    @asynccontextmanager
    async def send(self, call: Outgoing, *, last_look: Callable[[], None]) -> AsyncIterator[Answer]:
        """Send it. `last_look` runs right before the first byte leaves; what it raises keeps the call here.

        Raises httpx errors; `call.sent` says whether the upstream may have seen anything.
        """
        if call.request is None:
            last_look()
            call.sent = True
            yield _Offline(call.body)
            return

        async def trace(event: str, _: Mapping[str, Any]) -> None:
            if event.endswith("send_request_headers.started"):
                last_look()
                call.sent = True

        call.request.extensions = {**call.request.extensions, "trace": trace}
        way = self._near if call.upstream.local else self._far
        response = await way.handle_async_request(call.request)
        try:
            yield _Http(response, {name: call.redact(value) for name, value in response.headers.items()})
        finally:
            await response.aclose()

    async def forwarded(self, upstream: UpstreamConfig, model: str, *, last_look: Callable[[], None]) -> str | None:
        """Why a model of a local upstream is not free after all; None: nothing says so."""
        return await self._locals.forwarded(upstream, model, last_look=last_look)

    async def renew(self) -> None:
        """The machine slept. Connections to other ones may be dead without a word: calls on them break now."""
        self._sleeps += 1
        asleep, self._far = self._far, _connections()
        await asleep.aclose()

    def slept_over(self, call: Outgoing) -> bool:
        """Whether the machine slept while a call was on its way to another one, or woke right before."""
        return not call.upstream.local and (call.sleeps != self._sleeps or self._awaits_network())

    async def close(self) -> None:
        """Close every connection."""
        await self._far.aclose()
        await self._near.aclose()
