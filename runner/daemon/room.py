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
        self._told: bool | None = None
        """Whether it is written down that room is short; None: a runner before us may have written it."""
        self._untold: str | None = None
        """Why it was short, until that could be written: on a disk that fills at once, only when it is over."""

    async def look(self) -> None:
        """Park or go on, and see to it that somebody is told: at the next look when it cannot be written now."""
        why = self._watch.look()
        if why is not None and self._switch.park(WORD, why):
            self._remark(f"parked: {why}")
        elif why is None and self._switch.unpark(WORD):
            self._remark("there is room on the disk again")
        if why is not None and not self._told:
            self._untold = self._untold or why
        if self._untold is not None or (why is None and self._told is not False):
            untold = self._untold
            with suppress(StoreError):
                await self._writer.write(lambda db: self._tell(db, untold, over=why is None))
                self._untold, self._told = None, why is not None

    def _tell(self, db: sqlite3.Connection, untold: str | None, *, over: bool) -> None:
        now = self._clock.now()
        if untold is not None:
            text = f"parked: {untold}; `afk-runner prune` and old backups are where to begin"
            if telling.tell(db, key=WORD, level=events.ERROR, text=text, now=now):
                events.record(db, now=now, level=events.ERROR, event="disk.low", text=text)
        if over and telling.settled(db, key=WORD, now=now):
            events.record(db, now=now, level=events.INFO, event="disk.room", text="there is room on the disk again")
