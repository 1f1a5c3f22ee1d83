"""An upstream's answer before it is read: what it is, its body whole, and which of its headers a client gets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

import httpx

MAX_BYTES = 64 * 1024 * 1024
_PASSED_DOWN = ("content-type", "request-id", "x-request-id", "retry-after", "retry-after-ms", "x-should-retry")
_PASSED_DOWN_PREFIXES = ("anthropic-ratelimit-", "x-ratelimit-")


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


async def read(answer: Answer) -> bytes:
    """The whole body. Raises httpx errors."""
    body = bytearray()
    async for chunk in answer.chunks():
        body += chunk
        if len(body) > MAX_BYTES:
            raise httpx.StreamError("its answer is larger than 64 MB")
    return bytes(body)


def is_stream(answer: Answer) -> bool:
    """Whether it says that it comes event by event."""
    return "text/event-stream" in answer.headers.get("content-type", "").lower()


def down(headers: Mapping[str, str]) -> dict[str, str]:
    """Those of an answer's headers that a client gets."""
    return {
        name: value for name, value in headers.items() if name in _PASSED_DOWN or name.startswith(_PASSED_DOWN_PREFIXES)
    }
