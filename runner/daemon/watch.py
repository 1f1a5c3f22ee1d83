"""Noticing what others commit: one reader connection, asked cheaply and often, that says when it cannot see."""

from __future__ import annotations

import sqlite3
import time
from contextlib import suppress

from runner.daemon.log import LogFile
from runner.errors import StoreError
from runner.store import events
from runner.store.db import Database, open_reader

UNREADABLE_S = 5.0
"""A database that cannot be read for so long counts as a stop."""


class Watch:
    """The runner's eye on its own database."""

    def __init__(self, database: Database, log: LogFile) -> None:
        """Open the reader. Raises StoreError."""
        self._database = database
        self._log = log
        self.reader = open_reader(database.path)
        newest = self.reader.execute("SELECT coalesce(max(id), 0) FROM events").fetchone()[0]
        if log.last_seq is not None and log.last_seq > newest:
            log.last_seq = None  # the log tells of another database: this one's story begins anew
        self._now = 0
        self._seen: int | None = None
        """SQLite's number of the last change that was looked at; None: everything is to be looked at anew."""
        self._blind_since: float | None = None

    def changed(self) -> bool:
        """Whether anybody else committed since the last `looked`; 3 us. Raises StoreError, sqlite3.Error."""
        self._database.still_there(index_too=True)  # a reader goes on reading a deleted file without a word
        self._now = int(self.reader.execute("PRAGMA data_version").fetchone()[0])
        return self._now != self._seen

    def looked(self) -> None:
        """Everything up to now was dealt with."""
        self._seen = self._now
        self._blind_since = None

    def blind(self, error: Exception) -> bool:
        """Note that the database could not be read; True once that has lasted too long."""
        now = time.monotonic()
        if self._blind_since is None:
            self._blind_since = now
            self._seen = None
            self._log.say(events.ERROR, "database.unreadable", str(error))
        return now - self._blind_since > UNREADABLE_S

    def copy_events(self) -> None:
        """Carry new rows of `events` into the log file; each is written there once, over restarts too."""
        with suppress(sqlite3.Error, StoreError):
            if self._log.last_seq is None:
                self._log.last_seq = 0
            while found := events.after(self.reader, self._log.last_seq, limit=500):
                self._log.events(found)

    def close(self) -> None:
        """Let go of the file."""
        self.reader.close()
