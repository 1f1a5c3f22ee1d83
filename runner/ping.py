"""The dead man's switch: a ping to an outside URL for as long as this runner is well, or parked on purpose.

In the manner of healthchecks.io: `URL/start` once, then `URL`, and `URL/fail` where a person is needed. Who listens
tells somebody when the pings stop. Nothing here waits for it, and a ping that fails changes nothing but what is noted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import httpx

ANSWER_S = 5.0
"""Longest wait for an answer, all in all."""
NEWS_S = 5.0
"""Between two pings, when what there is to say changes."""
START, WELL, FAIL = "/start", "", "/fail"


class Pinger:
    """Pings one URL. The URL is a secret: it is in nothing that is said of a ping."""

    def __init__(
        self, url: str, *, every_s: float, told: Callable[[], tuple[str, str]], heard: Callable[[str | None], None]
    ) -> None:
        """`told`: what to ping now, `WELL` or `FAIL`, and the words with it. `heard`: None once one was answered,
        else what was wrong."""
        self._url = url
        self._every_s = every_s
        self._told = told
        self._heard = heard
        self._client = httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=ANSWER_S)
        self._last: tuple[str, str] | None = None
        self._at = float("-inf")
        self._ping: asyncio.Task[None] | None = None

    def look(self) -> None:
        """Ping if it is time; called with every tick, and returns at once."""
        if self._ping is not None:
            return
        now, told = time.monotonic(), self._told()
        if now - self._at < (self._every_s if told == self._last else NEWS_S):
            return
        kind = START if self._last is None and told[0] == WELL else told[0]
        self._last, self._at = told, now
        if kind == START:
            self._at -= self._every_s  # it begins a measurement and says nothing of health: a ping follows at once
            self._last = (START, "")
        self._ping = asyncio.ensure_future(self._send(kind, told[1]))
        self._ping.add_done_callback(self._done)

    def _done(self, _: asyncio.Task[None]) -> None:
        self._ping = None

    async def _send(self, kind: str, words: str) -> None:
        try:
            async with asyncio.timeout(ANSWER_S):
                async with self._client.stream("POST", self._url + kind, content=words.encode()) as answer:
                    status = answer.status_code  # the rest of the answer is of no interest
        except TimeoutError:
            self._heard(f"no answer within {ANSWER_S:g}s")
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            self._heard(type(error).__name__)
        else:
            self._heard(None if 200 <= status < 300 else f"answered {status}")

    async def close(self) -> None:
        """Ping no more. A ping on its way is let go of: who is asked to end does not wait for it."""
        if self._ping is not None:
            self._ping.cancel()
            with suppress(asyncio.CancelledError):
                await self._ping
        await self._client.aclose()
