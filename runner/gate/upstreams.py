"""Where model calls go: which upstream serves a model, and the connection to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

from runner.config import UpstreamConfig
from runner.gate import offline

OFFLINE = UpstreamConfig(name="offline", url="offline:", local=True)
"""The built-in model: no network, no key, the same answer to the same question."""
OFFLINE_PREFIX = "offline/"

_PASSED_UP = ("anthropic-version", "anthropic-beta", "user-agent")
_DEFAULT_VERSION = "2023-06-01"


class Answer(Protocol):
    """An upstream's answer, its body still to be read."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Names in lower case."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes, decoded."""
        ...


@dataclass(slots=True)
class _Http:
    response: httpx.Response

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def headers(self) -> Mapping[str, str]:
        return self.response.headers

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


class Upstreams:
    """All upstreams of a configuration, over one pool of connections."""

    def __init__(self, upstreams: Mapping[str, UpstreamConfig], models: Mapping[str, str]) -> None:
        self._upstreams = upstreams
        self._models = models
        # No proxy and no netrc of whoever started us; a redirect must not carry a key elsewhere.
        self._client = httpx.AsyncClient(
            trust_env=False, follow_redirects=False, limits=httpx.Limits(max_connections=256)
        )

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

    @asynccontextmanager
    async def send(
        self, upstream: UpstreamConfig, body: dict[str, Any], *, headers: Mapping[str, str], query: str
    ) -> AsyncIterator[Answer]:
        """Send a Messages request; the key is added here and nowhere else. Raises httpx errors."""
        if upstream is OFFLINE:
            yield _Offline(body)
            return
        up = {name: headers[name] for name in _PASSED_UP if name in headers}
        up.setdefault("anthropic-version", _DEFAULT_VERSION)
        up["accept-encoding"] = "identity"  # what is metered is what is read
        if upstream.key is not None:
            up["x-api-key"] = upstream.key
        url = f"{upstream.url}/v1/messages{'?beta=true' if 'beta=true' in query.split('&') else ''}"
        timeout = httpx.Timeout(upstream.timeout_ms / 1000, connect=10)
        async with self._client.stream("POST", url, json=body, headers=up, timeout=timeout) as response:
            yield _Http(response)

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()


def was_sent(error: Exception) -> bool:
    """Whether bytes of the request may have reached the upstream before this error."""
    return not isinstance(
        error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.UnsupportedProtocol
    )
