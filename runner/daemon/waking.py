"""After a sleep: no job starts until the network is back, for a while at most, and no call burns an attempt for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from urllib.parse import urlsplit

from runner.config import UpstreamConfig
from runner.units import duration

NETWORK_S = 60.0
"""Longest wait; what cannot be reached then is the breaker's to judge."""
LOOK_S = 1.0
CONNECT_S = 3.0

Address = tuple[str, int]


class Waking:
    """Whether the machine woke a moment ago."""

    def __init__(
        self,
        upstreams: Mapping[str, UpstreamConfig],
        *,
        told: Callable[[str | None], None],
        reaches: Callable[[Address], Awaitable[bool]] | None = None,
    ) -> None:
        """`told`: hears why no job starts, and None when that is over. `reaches`: whether an address answers."""
        self._addresses = tuple(sorted(addresses(upstreams.values())))
        self._told = told
        self._reaches = reaches or answers
        self._until: float | None = None

    @property
    def holds(self) -> bool:
        """Whether nothing may start for now. Any thread may ask."""
        until = self._until
        return until is not None and time.monotonic() < until

    def begin(self, slept_ms: int) -> None:
        """The machine woke: from now on nothing starts. Where no call leaves this machine, nothing is waited for."""
        if self._addresses:
            self._until = time.monotonic() + NETWORK_S
            self._told(
                f"the machine slept for {duration(slept_ms)}, and no job starts before the network is back, "
                f"{duration(int(NETWORK_S * 1000))} at most"
            )

    async def network(self) -> None:
        """Wait for what `begin` began. Of two that wait, one ends it."""
        try:
            while self.holds:
                if any(await asyncio.gather(*(self._reaches(address) for address in self._addresses))):
                    break
                await asyncio.sleep(LOOK_S)
        finally:
            if self._until is not None:
                self._until = None
                self._told(None)


def addresses(upstreams: Iterable[UpstreamConfig]) -> set[Address]:
    """Host and port of every upstream beyond this machine."""
    found = set()
    for upstream in upstreams:
        parts = urlsplit(upstream.url)
        if not upstream.local and parts.hostname:
            found.add((parts.hostname, parts.port or (80 if parts.scheme == "http" else 443)))
    return found


async def answers(address: Address) -> bool:
    """Whether a host has a name and takes a connection. Nothing is sent."""
    with suppress(OSError, TimeoutError, UnicodeError):
        _, line = await asyncio.wait_for(asyncio.open_connection(*address), CONNECT_S)
        line.close()
        return True
    return False
