"""The stop switch: kill and resume."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from runner import telling
from runner.commands.base import Acts
from runner.errors import StoreError
from runner.lock import holder_of, lock_is_held
from runner.starts import Starts
from runner.store import controls, events
from runner.store.db import open_reader
from runner.units import UnixMs

ROW_WAIT_S = 1.0
"""Opening the database and the turn to write its row get so long each: the STOP file holds, a person waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Killed:
    """What a kill left behind. It is in force when any source is."""

    sources: tuple[str, ...]
    """Of `file`, `row`: what is set now."""
    already: bool
    """It was stopped before."""
    failed: tuple[str, ...] = ()
    """What could not be set, and why; one of them is still enough."""
    seq: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """What a resume cleared, and what it could not."""

    cleared: tuple[str, ...]
    remaining: tuple[str, ...]
    """Sources still set, each with what to do; empty: the runner goes on."""


class SwitchActs(Acts):
    """Stopping everything, and letting it go on."""

    def kill(self, *, now: bool = False, reason: str | None = None) -> Killed:
        """Stop everything: the STOP file first, for it works on a locked or broken database, then the row.

        Raises StoreError only when neither could be set: then nothing is stopped.
        """
        said = reason or "asked by a person"
        already = self.home.stop_set()
        done: list[str] = []
        failed: list[str] = []
        try:
            if controls.stop_words(self.home.stop) is None:  # the first word stands, as it does in the row
                self.home.write_stop(controls.stop_text(reason=said, by=self._by))
            done.append("file")
        except OSError as error:
            if self.home.stop_set():
                done.append("file")
            else:
                failed.append(f"{self.home.stop}: {error.strerror}")
        seq = None
        try:
            seq, was = self._transact(lambda db, at: self._set_stop(db, at, now=now, reason=said), wait_s=ROW_WAIT_S)
            already = already or was
            done.append("row")
        except StoreError as error:
            failed.append(f"{error}; the row is not written, the STOP file holds" if done else str(error))
        if not done:
            raise StoreError(f"NOT STOPPED: {'; '.join(failed)}; {self._who_runs()}")
        return Killed(sources=tuple(done), already=already, failed=tuple(failed), seq=seq)

    def _set_stop(self, db: sqlite3.Connection, at: UnixMs, *, now: bool, reason: str) -> tuple[int, bool]:
        before = controls.stop_row(db)
        value = controls.STOP_NOW if now or before.value == controls.STOP_NOW else controls.STOP
        first = (before.reason, before.by) if before.is_set and before.by else None  # a row set by hand has no name
        if first and before.value == value:
            return before.seq, True
        why, by = first or (reason, self._by)
        row = controls.set_stop(db, value, reason=why, by=by, now=at)
        word = "without grace" if value == controls.STOP_NOW else "with grace for calls in flight"
        text = f"stopped {word} by {self._by}: {reason}"
        self._event(db, at, "stop.set", text, level=events.WARN)
        telling.tell(db, key=telling.STOP, level=events.INFO, text=f"{text}; `afk-runner resume` lifts it", now=at)
        return row.seq, before.is_set

    def _who_runs(self) -> str:
        """Which process has to be ended where nothing can be set. The lock file names the last one for ever."""
        lock = self.home.lock
        holder = holder_of(lock)
        if holder is not None:
            return f"end the runner with `kill {holder}`"
        if lock_is_held(lock) or (os.path.lexists(lock) and not os.access(lock, os.R_OK)):
            return f"end the runner: `fuser {lock}` names it"
        return "no runner of this home lives, so there is none to end"

    def resume(self) -> Resumed:
        """Clear every source of a stop that can be cleared from here, and name what remains.

        Raises StoreError when nothing could be cleared because the database cannot be written; not where it can be
        read and says that no stop is set.
        """
        cleared: list[str] = []
        remaining: list[str] = []
        if self.home.stop_set():
            try:
                _remove_stop_file(self.home.stop)
                cleared.append("file")
            except OSError as error:
                remaining.append(f"file: {self.home.stop} cannot be removed ({error.strerror}); remove it by hand")
        starts = Starts(self.home.starts)
        if starts.tripped_at() is not None:
            try:
                starts.clear()
                cleared.append("crashes")
            except OSError as error:
                remaining.append(f"crashes: {self.home.starts} cannot be removed ({error.strerror}); remove it by hand")
        try:
            row_was_set, by_environment = self._transact(
                lambda db, at: self._clear_stop(db, at, cleared=bool(cleared), whole=not remaining)
            )
        except StoreError as error:
            off, by_environment = self._row_is_off()
            row_was_set = False
            if not off:
                if not cleared:
                    raise
                remaining.append(f"row: {error}")
        if row_was_set:
            cleared.append("row")
        if by_environment:
            remaining.append("env: AFK_STOP is set in the runner's environment; unset it and restart the runner")
        return Resumed(cleared=tuple(cleared), remaining=tuple(remaining))

    def _clear_stop(self, db: sqlite3.Connection, at: UnixMs, *, cleared: bool, whole: bool) -> tuple[bool, bool]:
        """`cleared`: a stop outside the database was lifted. `whole`: nothing outside it goes on stopping the home."""
        row = controls.stop_row(db)
        if row.is_set:
            controls.set_stop(db, controls.OFF, reason=None, by=self._by, now=at)
        if cleared or row.is_set:
            self._event(db, at, "stop.cleared", f"resumed by {self._by}")
        by_environment = self._by_environment(db)
        if whole and not by_environment:
            telling.settled(db, key=telling.STOP, text=f"resumed by {self._by}", now=at)
        return row.is_set, by_environment

    def _by_environment(self, db: sqlite3.Connection) -> bool:
        return controls.settings(db).get("stop_env") == "1" and lock_is_held(self.home.lock)

    def _row_is_off(self) -> tuple[bool, bool]:
        """Whether it can be read, though not written, that the row says so; and whether a runner's AFK_STOP stops it.

        The runner that goes on, or the next one, settles what was told of the stop.
        """
        try:
            with closing(open_reader(self.path)) as db:
                return not controls.stop_row(db).is_set, self._by_environment(db)
        except (StoreError, sqlite3.Error):
            return False, False


def _remove_stop_file(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rmdir()  # one that holds something was filled by a person
    else:
        path.unlink()
