"""Room on the home's volume: parks the runner while some is left, and lets it go on when there is enough again."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress

from runner import telling
from runner.care.disk import DiskWatch
from runner.daemon.switch import StopSwitch
from runner.errors import StoreError
from runner.home import Home
from runner.store import events
from runner.store.writer import Writer
from runner.units import Clock

WORD = "disk"
"""Of the park and of the alert."""


class Room:
    """Looks every few seconds."""

    def __init__(
        self,
        home: Home,
        *,
        low_mb: int | None,
        switch: StopSwitch,
        writer: Writer,
        remark: Callable[[str], None],
        clock: Clock,
    ) -> None:
        self._watch = DiskWatch(home.root, low_mb=low_mb)
        self._switch = switch
        self._writer = writer
        self._remark = remark
        self._clock = clock
        self._told = False
        """Whether it is written down that room is short."""

    async def look(self) -> None:
        """Park or go on, and see to it that somebody is told: at the next look when it cannot be written now."""
        why = self._watch.look()
        if why is not None and self._switch.park(WORD, why):
            self._remark(f"parked: {why}")
        elif why is None and self._switch.unpark(WORD):
            self._remark("there is room on the disk again")
        if self._told != (why is not None):
            with suppress(StoreError):
                await self._writer.write(lambda db: self._tell(db, why))
                self._told = why is not None

    def _tell(self, db: sqlite3.Connection, why: str | None) -> None:
        now = self._clock.now()
        if why is None:
            if telling.settled(db, key=WORD, now=now):
                events.record(db, now=now, level=events.INFO, event="disk.room", text="there is room on the disk again")
            return
        text = f"parked: {why}; `afk-runner prune` and old backups are where to begin"
        if telling.tell(db, key=WORD, level=events.ERROR, text=text, now=now):
            events.record(db, now=now, level=events.ERROR, event="disk.low", text=text)
