"""What every act shares: the way into the database, and the event that says who did it."""

from __future__ import annotations

import getpass
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from runner.errors import StoreError, StoreMissing
from runner.home import Home
from runner.store import events, jobs
from runner.store.db import WRITE_WAIT_S, Database
from runner.store.jobs import Job
from runner.units import Clock, SystemClock, UnixMs

T = TypeVar("T")

BATCH = 200
"""Jobs a bulk act changes in one transaction, so that nobody waits long for the write lock."""


class Acts:
    """Writes to one home, opened on first use and then kept."""

    def __init__(
        self, home: Home, *, db: Path | None = None, clock: Clock | None = None, by: str | None = None
    ) -> None:
        self.home = home
        self.path = db or home.db
        self._clock = clock or SystemClock()
        self._by = by or who("cli")
        self._database: Database | None = None

    def close(self) -> None:
        """Let go of the database."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def ready(self, *, wait_s: float = WRITE_WAIT_S) -> Database:
        """Open the database if it is not, so that the next act is as quick as any. Raises StoreError."""
        if self._database is None:
            self._database = Database.open(self.path, wait_s=wait_s)
        return self._database

    def _transact(self, act: Callable[[sqlite3.Connection, UnixMs], T], *, wait_s: float = WRITE_WAIT_S) -> T:
        """What the act gives, done in one transaction. Raises StoreError; then nothing was changed.

        `wait_s`: how long opening, and the turn to write, may each take; the turn twice, where another file has taken
        the place of the one that was open.
        """
        was_open = self._database is not None
        try:
            return self._once(act, wait_s)
        except StoreMissing:  # of a file that was opened earlier: another one may have taken its place
            if not was_open:
                raise
            return self._once(act, wait_s)

    def _once(self, act: Callable[[sqlite3.Connection, UnixMs], T], wait_s: float) -> T:
        database = self.ready(wait_s=wait_s)
        try:
            with database.write(wait_s=wait_s) as db:
                given = act(db, self._clock.now())
        except StoreError:
            self.close()
            raise
        database.poke()
        return given

    def _wake(self, gate: str) -> int:
        """Make the jobs that wait for a gate due, a batch a transaction; how many."""
        woken = 0
        while (count := self._transact(lambda db, now: jobs.wake(db, gate=gate, now=now, limit=BATCH))) == BATCH:
            woken += count
        return woken + count

    def _event(
        self,
        db: sqlite3.Connection,
        now: UnixMs,
        event: str,
        text: str,
        *,
        level: str = events.INFO,
        job: Job | None = None,
        task: str | None = None,
    ) -> None:
        events.record(
            db,
            now=now,
            level=level,
            event=event,
            text=text,
            task=job.task if job else task,
            job=job.key if job else None,
        )


def who(program: str) -> str:
    """The person at this end, for the events: `ada@console`, `ada@cli`."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = f"uid {os.getuid()}"
    over = "ssh " if os.environ.get("SSH_CONNECTION") else ""
    return f"{name}@{over}{program}"
