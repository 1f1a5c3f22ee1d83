"""Whether a model of a local upstream is answered on this machine: only then does it cost nothing.

An Ollama daemon forwards some of its models to a paid service. Their usual names end in `cloud`, but a name can be
copied, so the daemon is asked once for each, and what it answers with is looked at.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx

from runner.config import UpstreamConfig

KNOWN_S = 300.0
"""How long an answer of the daemon is believed."""
UNKNOWN_S = 30.0
"""How long nothing is asked after a daemon that did not answer."""
ASK_S = 2.0
MOST_KNOWN = 1_000

_CLOUD_NAME = re.compile(r"[:-]cloud\Z", re.IGNORECASE)
# Inside a text of the answer the quotes would stand behind backslashes.
_TELLS = re.compile(rb'[{,]\s*"remote_(?:host|model)"\s*:\s*"[^"]')
_TELLS_WITHIN = 64
REASON = (
    "it is forwarded to a paid service, though local = true says that the models of {upstream} cost nothing; "
    "give that service an upstream of its own, with a price"
)


class LocalModels:
    """Remembers what daemons said of their models."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._asked: dict[tuple[str, str], tuple[float, asyncio.Future[bool | None]]] = {}

    async def forwarded(self, upstream: UpstreamConfig, model: str, *, last_look: Callable[[], None]) -> str | None:
        """Why the model is not free, as a sentence's end; None: nothing says that it leaves this machine.

        `last_look` runs before the daemon is asked; what it raises keeps the question here.
        """
        if _CLOUD_NAME.search(model) or await self._known(upstream, model, last_look):
            return REASON.format(upstream=upstream.name)
        return None

    async def _known(self, upstream: UpstreamConfig, model: str, last_look: Callable[[], None]) -> bool | None:
        now, key = time.monotonic(), (upstream.name, model)
        since, answer = self._asked.get(key, (now, None))
        if answer is not None and answer.done():
            stale = answer.cancelled() or now - since > (UNKNOWN_S if answer.result() is None else KNOWN_S)
            answer = None if stale else answer
        if answer is None:
            last_look()
            while len(self._asked) >= MOST_KNOWN:
                del self._asked[next(iter(self._asked))]
            answer = asyncio.ensure_future(self._ask(upstream, model))
            self._asked[key] = now, answer
        return await asyncio.shield(answer)  # who asks next may not be cut with who asked first

    async def _ask(self, upstream: UpstreamConfig, model: str) -> bool | None:
        """What the daemon says; None: nothing. A server that is no Ollama answers 404 or speaks of neither field."""
        parts = urlsplit(upstream.url)
        url = f"{parts.scheme}://{parts.netloc}/api/show"
        try:
            async with asyncio.timeout(ASK_S):
                answer = await self._client.post(url, json={"model": model})
            told = answer.json() if answer.status_code == 200 else {}
        except (httpx.HTTPError, OSError, TimeoutError, ValueError, RecursionError):
            return None
        return came_from_elsewhere(told)


def came_from_elsewhere(told: object) -> bool:
    """Whether a whole answer of a daemon says that its model is not on this machine. What the model says is not it."""
    return isinstance(told, dict) and any(told.get(field) for field in ("remote_host", "remote_model"))


class RemoteWatch:
    """Looks for the mark of a forwarded answer in the bytes of a stream as they pass, wherever the chunks are cut."""

    def __init__(self) -> None:
        self._tail = b""

    def sees(self, chunk: bytes) -> bool:
        """Whether the answer says that it came from elsewhere."""
        seen = self._tail + chunk
        self._tail = seen[-_TELLS_WITHIN:]
        return _TELLS.search(seen) is not None
