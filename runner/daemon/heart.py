"""The heartbeat: in the database and in a file beside it, with the leases of what works."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable

from runner.clocks import seconds_asleep
from runner.daemon.switch import StopSwitch
from runner.daemon.watch import UNREADABLE_S
from runner.errors import StoreError
from runner.heartbeat import HeartbeatFile
from runner.home import Home
from runner.store import leases, runners
from runner.store.runners import Runner
from runner.store.writer import Writer
from runner.units import Clock, UnixMs
from runner.work.pool import Pool
from runner.work.register import LEASE_MS

BEAT_S = 2.0
NAP_S = 5.0
"""A sleep of the machine that is worth a word."""
STUCK_S = 60.0
"""Without an answer of the database for so long, a refusal included, nothing here gets on."""


class Heart:
    """Beats as long as the loop turns."""

    def __init__(
        self,
        home: Home,
        *,
        writer: Writer,
        switch: StopSwitch,
        pool: Pool,
        me: Runner,
        distrust: Callable[[str, Exception], None],
        clock: Clock,
    ) -> None:
        """`distrust`: called when the database could not be written for too long."""
        self._file = HeartbeatFile(home.heartbeat)
        self._writer = writer
        self._switch = switch
        self._pool = pool
        self._me = me
        self._distrust = distrust
        self._clock = clock
        self._unwritable_since: float | None = None
        self._asleep_s: float | None = None
        self._woke_at: UnixMs | None = None
        self._answered_at = time.monotonic()
        self._beating = False

    @property
    def gets_on(self) -> bool:
        """Whether the database answers, if only with a refusal: a runner without one waits, it does not hang."""
        return time.monotonic() - self._answered_at < STUCK_S

    async def beat(self) -> None:
        """Say that we live, and keep the leases of what works."""
        asleep_s = seconds_asleep()
        if asleep_s is not None and self._asleep_s is not None and asleep_s - self._asleep_s > NAP_S:
            self._woke_at = self._clock.now()
        self._asleep_s = asleep_s
        self._file.beat(fault=self._switch.fault, asleep_s=asleep_s, woke_at=self._woke_at)
        if self._beating:
            return  # the last one was not answered yet
        self._beating = True
        until = UnixMs(self._clock.now() + LEASE_MS)
        try:
            await self._write(until)
        finally:
            self._answered_at, self._beating = time.monotonic(), False

    async def _write(self, until: UnixMs) -> None:
        try:
            await self._writer.write(lambda db: self._beat_in(db, until))
        except StoreError as error:
            now = time.monotonic()
            if self._unwritable_since is None:
                self._unwritable_since = now
            elif now - self._unwritable_since > UNREADABLE_S:
                self._distrust("written", error)
            return
        self._unwritable_since = None
        self._switch.can_write()

    def _beat_in(self, db: sqlite3.Connection, until: UnixMs) -> None:
        runners.beat(db, self._me.id, now=self._clock.now())
        if self._pool.running:
            leases.renew(db, runner=self._me.id, until=until)

    async def close(self) -> None:
        """Let go of the file; it stays, with the last word in it."""
        self._file.close()
