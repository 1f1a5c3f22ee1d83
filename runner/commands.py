"""THE WRITE DOOR: everything a person may do, each in one short transaction, each leaving an event that says who.

A `Door` works whether or not a runner lives. Acts name job ids or keys, never positions, and say what they refused.
"""

from __future__ import annotations

import getpass
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from runner.config import TaskConfig
from runner.enqueue import Enqueued, JobRequest, insert_jobs, new_job, parse_payload
from runner.errors import NotFound, StoreError, UsageError
from runner.home import Home
from runner.lock import lock_is_held
from runner.settings import nearest
from runner.store import breakers, controls, events, jobs
from runner.store.db import Database
from runner.store.jobs import Job, NewJob
from runner.units import Clock, SystemClock, UnixMs

__all__ = ["Bulk", "Door", "Enqueued", "JobRequest", "Killed", "Resumed", "parse_payload", "who"]

T = TypeVar("T")

BATCH = 200
"""Jobs a bulk act changes in one transaction, so that nobody waits long for the write lock."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Bulk:
    """What an act on several jobs did."""

    done: tuple[str, ...]
    """Keys."""
    refused: tuple[tuple[str, str], ...]
    """Key or id, and why not."""


class Door:
    """The write door of one home, opened on first use and then kept."""

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

    def _transact(self, act: Callable[[sqlite3.Connection, UnixMs], T]) -> T:
        if self._database is None:
            self._database = Database.open(self.path)
        try:
            with self._database.write() as db:
                given = act(db, self._clock.now())
        except StoreError:
            self.close()  # the file may have been replaced; the next act opens it anew
            raise
        self._database.poke()
        return given

    # --- the switch ---------------------------------------------------------------------------------------------

    def kill(self, *, now: bool = False, reason: str | None = None) -> Killed:
        """Stop everything: the STOP file first, for it works on a locked or broken database, then the row.

        Raises StoreError only when neither could be set: then nothing is stopped.
        """
        said = reason or "asked by a person"
        already = self.home.stop_set()
        done: list[str] = []
        failed: list[str] = []
        try:
            _write_stop_file(self.home.stop, f"{said}\nby {self._by}\n")
            done.append("file")
        except OSError as error:
            if self.home.stop_set():
                done.append("file")
            else:
                failed.append(f"{self.home.stop}: {error.strerror}")
        seq = None
        try:
            seq, was = self._transact(lambda db, at: self._set_stop(db, at, now=now, reason=said))
            already = already or was
            done.append("row")
        except StoreError as error:
            failed.append(str(error))
        if not done:
            raise StoreError(f"NOT STOPPED: {'; '.join(failed)}; end the runner with `kill {self._pid_hint()}`")
        return Killed(sources=tuple(done), already=already, failed=tuple(failed), seq=seq)

    def _set_stop(self, db: sqlite3.Connection, at: UnixMs, *, now: bool, reason: str) -> tuple[int, bool]:
        before = controls.stop_row(db)
        value = controls.STOP_NOW if now or before.value == controls.STOP_NOW else controls.STOP
        if before.value == value:
            return before.seq, True
        row = controls.set_stop(
            db,
            value,
            reason=before.reason if before.is_set else reason,
            by=before.by or self._by if before.is_set else self._by,
            now=at,
        )
        word = "without grace" if value == controls.STOP_NOW else "with grace for calls in flight"
        self._event(db, at, "stop.set", f"stopped {word} by {self._by}: {reason}", level=events.WARN)
        return row.seq, before.is_set

    def _pid_hint(self) -> str:
        with suppress(OSError):
            return self.home.lock.read_text("utf-8").split("\n", 1)[0] or "PID"
        return "PID"

    def resume(self) -> Resumed:
        """Clear every source of a stop that can be cleared from here, and name what remains.

        Raises StoreError when nothing could be cleared because the database cannot be written.
        """
        cleared: list[str] = []
        remaining: list[str] = []
        if self.home.stop_set():
            try:
                _remove_stop_file(self.home.stop)
                cleared.append("file")
            except OSError as error:
                remaining.append(f"file: {self.home.stop} cannot be removed ({error.strerror}); remove it by hand")
        try:
            row_was_set, by_environment = self._transact(self._clear_stop)
        except StoreError as error:
            if not cleared:
                raise
            remaining.append(f"row: {error}")
        else:
            if row_was_set:
                cleared.append("row")
            if by_environment:
                remaining.append("env: AFK_STOP is set in the runner's environment; unset it and restart the runner")
        return Resumed(cleared=tuple(cleared), remaining=tuple(remaining))

    def _clear_stop(self, db: sqlite3.Connection, at: UnixMs) -> tuple[bool, bool]:
        row = controls.stop_row(db)
        if row.is_set:
            controls.set_stop(db, controls.OFF, reason=None, by=self._by, now=at)
        self._event(db, at, "stop.cleared", f"resumed by {self._by}")
        by_environment = controls.settings(db).get("stop_env") == "1" and lock_is_held(self.home.lock)
        return row.is_set, by_environment

    # --- jobs -----------------------------------------------------------------------------------------------------

    def enqueue(
        self, tasks: Mapping[str, TaskConfig], requests: Sequence[JobRequest], *, max_attempts: int
    ) -> list[Enqueued]:
        """Add jobs, all or none, in one transaction; a key that exists adds nothing and says what became of it.

        Raises UsageError for a request that cannot be a job, naming its place when there are several.
        """
        new = []
        for place, request in enumerate(requests, start=1):
            try:
                new.append(self._new_job(tasks, request, max_attempts=max_attempts))
            except UsageError as error:
                raise UsageError(
                    f"job {place} of {len(requests)}: {error}" if len(requests) > 1 else str(error)
                ) from None
        return self._transact(lambda db, now: insert_jobs(db, new, now=now, by=self._by))

    def _new_job(self, tasks: Mapping[str, TaskConfig], request: JobRequest, *, max_attempts: int) -> NewJob:
        return new_job(tasks, request, now=self._clock.now(), max_attempts=max_attempts)

    def cancel(self, keys: Sequence[str]) -> Bulk:
        """Cancel pending jobs, and ask for the end of running ones. Attempts and charges are kept."""

        def one(db: sqlite3.Connection, job: Job, now: UnixMs) -> str | None:
            status = jobs.cancel(db, id=job.id, now=now)
            if status is None:
                return f"it is {job.status} already"
            self._event(db, now, "job.cancel", f"cancelled by {self._by}", job=job)
            return None

        return self._each(keys, one)

    def remove(self, keys: Sequence[str]) -> Bulk:
        """Delete finished or dead jobs with their history; what they cost stays in the ledger."""

        def one(db: sqlite3.Connection, job: Job, now: UnixMs) -> str | None:
            if job.held:
                return "a call of it is not settled"
            if not jobs.remove(db, id=job.id):
                return f"it is {job.status}; cancel it first"
            self._event(db, now, "job.remove", f"removed by {self._by}, it was {job.status}", job=job)
            return None

        return self._each(keys, one)

    def replay(self, keys: Sequence[str]) -> Bulk:
        """Give dead jobs a new life, attempts from 0, their history and recorded steps kept."""

        def one(db: sqlite3.Connection, job: Job, now: UnixMs) -> str | None:
            if not jobs.replay(db, id=job.id, now=now):
                return f"it is {job.status}, not dead"
            self._event(db, now, "job.replay", f"replayed by {self._by} after {job.attempts} attempts", job=job)
            return None

        return self._each(keys, one)

    def replay_ids(self, ids: Sequence[int]) -> Bulk:
        """The same for a set of ids that was frozen when it was shown."""
        keys: list[str] = []
        missing: list[tuple[str, str]] = []
        for start in range(0, len(ids), BATCH):
            chunk = ids[start : start + BATCH]
            found = self._transact(partial(_keys_of, chunk))
            keys += [found[id] for id in chunk if id in found]
            missing += [(str(id), "it was removed") for id in chunk if id not in found]
        bulk = self.replay(keys)
        return Bulk(done=bulk.done, refused=(*bulk.refused, *missing))

    def _each(self, keys: Sequence[str], one: Callable[[sqlite3.Connection, Job, UnixMs], str | None]) -> Bulk:
        done: list[str] = []
        refused: list[tuple[str, str]] = []
        for start in range(0, len(keys), BATCH):
            chunk = keys[start : start + BATCH]

            def act(db: sqlite3.Connection, now: UnixMs, chunk: Sequence[str] = chunk) -> list[tuple[str, str | None]]:
                answers = []
                for key in chunk:
                    job = jobs.by_key(db, key)
                    answers.append((key, one(db, job, now) if job else "there is no such job"))
                return answers

            for key, reason in self._transact(act):
                if reason is None:
                    done.append(key)
                else:
                    refused.append((key, reason))
        return Bulk(done=tuple(done), refused=tuple(refused))

    # --- pauses and breakers --------------------------------------------------------------------------------------

    def pause(self, name: str, *, reason: str | None = None) -> bool:
        """Take no new work of a task, its schedule included; False when it was paused already."""

        def act(db: sqlite3.Connection, now: UnixMs) -> bool:
            changed = controls.pause(db, name=name, reason=reason or "asked by a person", by=self._by, now=now)
            if changed:
                self._event(
                    db, now, "task.pause", f"{name} paused by {self._by}: {reason or 'no reason given'}", task=name
                )
            return changed

        return self._transact(act)

    def unpause(self, name: str) -> bool:
        """Lift a pause and wake the jobs that waited for it; False when there was none."""

        def act(db: sqlite3.Connection, now: UnixMs) -> bool:
            changed = controls.unpause(db, name=name)
            if changed:
                self._event(db, now, "task.unpause", f"{name} unpaused by {self._by}", task=name)
            return changed

        changed = self._transact(act)
        self._wake(f"pause:{name}")
        return changed

    def trip(self, name: str, *, reason: str) -> None:
        """Open a breaker by hand; only a person closes it again."""

        def act(db: sqlite3.Connection, now: UnixMs) -> None:
            breakers.trip(db, name, reason=reason, retry_at=None, now=now)
            self._event(db, now, "breaker.open", f"breaker {name} tripped by {self._by}: {reason}", level=events.WARN)

        self._transact(act)

    def reset(self, name: str, *, reason: str) -> None:
        """Close a breaker by hand and wake the jobs that waited for it. Raises NotFound."""

        def act(db: sqlite3.Connection, now: UnixMs) -> None:
            known = [breaker.name for breaker in breakers.all_of(db)]
            if not breakers.reset(db, name, reason=reason, now=now):
                raise NotFound(f"there is no breaker {name!r}{nearest(name, known)}")
            self._event(db, now, "breaker.closed", f"breaker {name} reset by {self._by}: {reason}")

        self._transact(act)
        self._wake(f"breaker:{name}")

    def _wake(self, gate: str) -> None:
        while self._transact(lambda db, now: jobs.wake(db, gate=gate, now=now, limit=BATCH)) == BATCH:
            pass

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


def _keys_of(ids: Sequence[int], db: sqlite3.Connection, _: UnixMs) -> dict[int, str]:
    marks = ", ".join("?" * len(ids))
    return dict(db.execute(f"SELECT id, key FROM jobs WHERE id IN ({marks})", list(ids)).fetchall())  # noqa: S608 - marks only


def _write_stop_file(path: Path, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, text.encode("utf-8", "replace"))
    except OSError:
        pass  # the file exists, which is what stops; its words are a courtesy
    finally:
        os.close(fd)


def _remove_stop_file(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink()
