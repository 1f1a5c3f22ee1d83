"""Keeping a Mac from idle sleep while a job runs: a lease of two minutes, renewed each minute.

A lease, because one that is held for long is forgotten by a crash, or dies unnoticed. A closed lid sleeps all the same.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from contextlib import suppress

LEASE_S = 120
RENEW_S = 60.0
ASK_S = 5.0


class Awake:
    """The lease, taken by `caffeinate`."""

    def __init__(self, how: str, *, platform: str = sys.platform) -> None:
        """`how`: `on_power`, `always` or `never`."""
        self._how = how
        self._can = platform == "darwin" and how != "never"
        self._renewed_at = float("-inf")
        self._renewal: asyncio.Task[None] | None = None
        self._leases: set[asyncio.subprocess.Process] = set()

    def look(self, *, working: bool) -> None:
        """Renew the lease if it is time; called with every tick, and returns at once."""
        now = time.monotonic()
        if not self._can or not working or self._renewal is not None or now - self._renewed_at < RENEW_S:
            return
        self._renewed_at = now
        self._renewal = asyncio.ensure_future(self._renew())
        self._renewal.add_done_callback(self._renewed)

    def _renewed(self, _: asyncio.Task[None]) -> None:
        self._renewal = None

    async def _renew(self) -> None:
        with suppress(OSError, TimeoutError):
            if self._how == "on_power" and not await _on_power():
                return
            lease = await _start("caffeinate", "-i", "-t", str(LEASE_S))
            self._leases = {one for one in self._leases if one.returncode is None} | {lease}

    async def close(self) -> None:
        """Let the machine sleep."""
        if self._renewal is not None:
            self._renewal.cancel()
            with suppress(asyncio.CancelledError):
                await self._renewal
        for lease in self._leases:
            with suppress(ProcessLookupError):
                lease.terminate()
            await lease.wait()


async def _on_power() -> bool:
    """Whether the machine runs on mains power; a machine that does not say is taken for one on battery."""
    asked = await _start("pmset", "-g", "batt", stdout=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(ASK_S):
            told, _ = await asked.communicate()
    except BaseException:
        with suppress(ProcessLookupError):
            asked.kill()
        raise
    # Source: pmset -g batt: "Now drawing from 'AC Power'"
    return b"'AC Power'" in told.split(b"\n", 1)[0]


async def _start(*words: str, stdout: int = asyncio.subprocess.DEVNULL) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=stdout,
        stderr=asyncio.subprocess.DEVNULL,
        env={"PATH": os.environ.get("PATH", os.defpath)},  # no key of ours
        start_new_session=True,
    )
