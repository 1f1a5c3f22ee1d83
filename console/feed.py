"""The one reader: a look at the home each tick, cheap when nothing changed, and a sentence when it cannot be read.

A tick asks `data_version` (3 us). Only when somebody committed, or a second has passed, the vitals are read; only when
`change_seq` moved or the view is another one, the view's own query runs. Everything that leaves here is cleaned.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from console.clean import cleaned
from console.seen import Ask, LogPart, Seen, Trouble
from runner.errors import (
    StoreBusy,
    StoreCorrupt,
    StoreMissing,
    StoreNewer,
    StoreOlder,
)
from runner.home import Home
from runner.snapshot import Event, Reader, Vitals
from runner.units import SECOND_MS, UnixMs

T = TypeVar("T")

VITALS_MS = SECOND_MS
"""Vitals older than this are read again: a heartbeat that stops commits nothing that could be noticed."""
RETRY_MS = SECOND_MS
"""How long a database that could not be read is left alone."""
LOG_LINES = 500
"""Events read at once; a home that writes more of them a tick has some skipped, and is told how many."""


class Feed:
    """Reads one home for one screen. Any thread may call it; calls take turns."""

    def __init__(self, home: Home, *, db: Path | None = None) -> None:
        self.home = home
        self._db = db
        self._turn = threading.Lock()
        self._reader: Reader | None = None
        self._file: tuple[int, int] | None = None
        self._generation = 0
        self._vitals: Vitals | None = None
        self._trouble: Trouble | None = None
        self._retry_at = 0
        self._page: object = None
        self._page_of: tuple[object, ...] | None = None
        self._last_event = 0
        self._log_of: int | None = None

    @property
    def path(self) -> Path:
        """The database file."""
        return self._db or self.home.db

    def read(self, ask: Ask, *, now: UnixMs) -> Seen:
        """One look. Never raises for what it finds: trouble is part of the value."""
        with self._turn:
            log, back_after_ms = LogPart(), None
            try:
                if self._reader is not None or now >= self._retry_at or now < self._retry_at - RETRY_MS:
                    log = self._look(ask, now)
                    if self._trouble is not None:
                        back_after_ms, self._trouble = max(0, now - self._trouble.since), None
            except Exception as error:  # the console outlives whatever stands in a file
                self._lose(error, now)
            return Seen(
                at=now,
                ask=ask,
                generation=self._generation,
                vitals=self._vitals,
                trouble=self._trouble,
                stop_file=self.home.stop_set(),
                page=self._page if self._page_of is not None and self._page_of[0] == ask else None,
                log=log,
                back_after_ms=back_after_ms,
            )

    def ask(self, read: Callable[[Reader], T]) -> T:
        """Read something else than the view, once. It is not cleaned. Raises StoreError."""
        with self._turn:
            if self._reader is None:
                raise StoreMissing(self._trouble.text if self._trouble else "the database was not read yet")
            return read(self._reader)

    def close(self) -> None:
        """Let go of the file."""
        with self._turn:
            if self._reader is not None:
                self._reader.close()
                self._reader = None

    def _look(self, ask: Ask, now: UnixMs) -> LogPart:
        reader = self._reader or self._open()
        changed = reader.changed()
        if changed or self._vitals is None or self._trouble or abs(now - self._vitals.read_at) >= VITALS_MS:
            self._vitals = cleaned(reader.vitals(now=now))
        vitals = self._vitals
        wanted = (ask, vitals.change_seq, vitals.runner.health, vitals.stop.sources)
        if wanted != self._page_of:
            self._page = cleaned(ask.read(reader, now=now))
            self._page_of = wanted
        return self._log(reader, vitals.change_seq)

    def _open(self) -> Reader:
        self._reader = reader = Reader(self.home, db=self._db)
        status = self.path.stat()
        file = (status.st_dev, status.st_ino)
        if self._file != file:
            self._generation += 1
            self._vitals, self._log_of = None, None
        self._file = file
        self._page_of = None
        return reader

    def _log(self, reader: Reader, change_seq: int) -> LogPart:
        if self._log_of is None:
            part = LogPart(fresh=True, events=cleaned(reader.events(limit=LOG_LINES)))
        elif self._log_of == change_seq:
            return LogPart()
        else:
            part = LogPart(events=cleaned(reader.events(after=self._last_event, limit=LOG_LINES)))
            if len(part.events) == LOG_LINES:
                part = _newest(part, cleaned(reader.events(limit=LOG_LINES)), self._last_event)
        if part.events:
            self._last_event = part.events[-1].id
        self._log_of = change_seq
        return part

    def _lose(self, error: Exception, now: UnixMs) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        since = self._trouble.since if self._trouble else now
        self._trouble = cleaned(Trouble(word=_word(error, self.path), text=str(error), since=since))
        self._retry_at = now + RETRY_MS


def _newest(part: LogPart, newest: tuple[Event, ...], last: int) -> LogPart:
    """The newest events instead of a full page of older ones, with the number of those between."""
    if not newest:
        return part
    return LogPart(events=newest, skipped=max(0, newest[0].id - last - 1))


def _word(error: Exception, path: Path) -> str:
    if isinstance(error, StoreMissing):
        return "REPLACED" if path.exists() else "MISSING"
    words = {StoreBusy: "LOCKED", StoreNewer: "NEWER", StoreOlder: "OLDER", StoreCorrupt: "DAMAGED"}
    return next((word for kind, word in words.items() if isinstance(error, kind)), "UNREADABLE")
