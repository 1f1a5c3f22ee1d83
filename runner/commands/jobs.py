"""Acts on jobs: they name ids or keys, never positions, and say what they refused."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from runner.commands.base import BATCH, Acts
from runner.config import TaskConfig
from runner.enqueue import Enqueued, JobRequest, insert_jobs, new_job
from runner.errors import StoreError, UsageError
from runner.store import jobs, replays
from runner.store.jobs import Job, JobStatus, NewJob
from runner.store.replays import Before
from runner.units import UnixMs

Name = TypeVar("Name", str, int)
"""What a job is called by: its key, or its id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bulk:
    """What an act on several jobs did."""

    done: tuple[str, ...]
    """Keys."""
    refused: tuple[tuple[str, str], ...]
    """Key or id, and why not."""
    ids: tuple[int, ...] = ()
    """Of those that were done."""
    token: str = ""
    """Of a replay: which one `undo_replay` means."""


class JobActs(Acts):
    """Adding, ending, removing and replaying jobs."""

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
        return self._each(keys, self._cancel, find=jobs.by_key)

    def cancel_ids(self, ids: Sequence[int]) -> Bulk:
        """The same for a set of ids that was frozen when it was shown."""
        return self._each(ids, self._cancel, find=jobs.by_id)

    def _cancel(self, db: sqlite3.Connection, job: Job, now: UnixMs) -> str | None:
        if jobs.cancel(db, id=job.id, now=now) is None:
            return f"it is {job.status} already"
        self._event(db, now, "job.cancel", f"cancelled by {self._by}", job=job)
        return None

    def remove(self, keys: Sequence[str]) -> Bulk:
        """Delete finished or dead jobs with their history; what they cost stays in the ledger."""

        def one(db: sqlite3.Connection, job: Job, now: UnixMs) -> str | None:
            if job.held:
                return "a call of it is not settled"
            if not jobs.remove(db, id=job.id):
                return f"it is {job.status}; cancel it first"
            self._event(db, now, "job.remove", f"removed by {self._by}, it was {job.status}", job=job)
            return None

        return self._each(keys, one, find=jobs.by_key)

    def discard_ids(self, ids: Sequence[int]) -> Bulk:
        """Delete these dead jobs with their history; one that is dead no more is refused, whatever it is now."""

        def one(db: sqlite3.Connection, job: Job, now: UnixMs) -> str | None:
            if job.status is not JobStatus.DEAD:
                return f"it is {job.status}, not dead"
            if job.held:
                return "a call of it is not settled"
            jobs.remove(db, id=job.id)
            self._event(db, now, "job.remove", f"removed by {self._by}, it was dead", job=job)
            return None

        return self._each(ids, one, find=jobs.by_id)

    def replay(self, keys: Sequence[str]) -> Bulk:
        """Give dead jobs a new life, attempts from 0, their history and recorded steps kept."""
        return self._replay(keys, jobs.by_key)

    def replay_ids(self, ids: Sequence[int]) -> Bulk:
        """The same for a set of ids that was frozen when it was shown."""
        return self._replay(ids, jobs.by_id)

    def _replay(self, names: Sequence[Name], find: Callable[[sqlite3.Connection, Name], Job | None]) -> Bulk:
        token = secrets.token_hex(8)

        def one(db: sqlite3.Connection, job: Job, now: UnixMs) -> str | None:
            if job.finished_at is None or not jobs.replay(db, id=job.id, now=now):
                return job.no_replay
            before = Before(
                not_before=job.not_before,
                attempts=job.attempts,
                rescues=job.rescues,
                cancel=job.cancel,
                starts=job.starts,
                died_at=job.finished_at,
            )
            replays.keep(db, job_id=job.id, token=token, before=before)
            self._event(db, now, "job.replay", f"replayed by {self._by} after {job.attempts} attempts", job=job)
            return None

        return replace(self._each(names, one, find=find), token=token)

    def undo_replay(self, ids: Sequence[int], *, token: str) -> Bulk:
        """Make jobs of one replay dead again, as they were before it, unless they were claimed or moved on since."""

        def one(db: sqlite3.Connection, job: Job, now: UnixMs) -> str | None:
            before = replays.of_job(db, job.id, token=token)
            if before is None:
                return "it is dead again already" if job.status is JobStatus.DEAD else "it was replayed again since"
            undone = jobs.unreplay(
                db,
                id=job.id,
                starts=before.starts,
                not_before=before.not_before,
                attempts=before.attempts,
                rescues=before.rescues,
                cancel=before.cancel,
                died_at=before.died_at,
            )
            if not undone:
                if job.status is JobStatus.DEAD:
                    return "it ran and is dead again"
                return "it was started since" if job.status is JobStatus.PENDING else f"it is {job.status} by now"
            replays.forget(db, job.id)
            self._event(db, now, "job.unreplay", f"its replay was undone by {self._by}", job=job)
            return None

        return self._each(ids, one, find=jobs.by_id)

    def _each(
        self,
        names: Sequence[Name],
        one: Callable[[sqlite3.Connection, Job, UnixMs], str | None],
        *,
        find: Callable[[sqlite3.Connection, Name], Job | None],
    ) -> Bulk:
        """Act on one job after the other, a batch a transaction. Raises StoreError; then nothing at all was changed."""
        done: list[Job] = []
        refused: list[tuple[str, str]] = []
        for start in range(0, len(names), BATCH):
            batch = partial(_one_by_one, names[start : start + BATCH], find, one)
            try:
                answers = self._transact(batch)
            except StoreError as error:
                if not start:
                    raise
                refused += [(str(name), str(error)) for name in names[start:]]  # what came before stands, and is told
                break
            for name, job, reason in answers:
                if job is not None and reason is None:
                    done.append(job)
                else:
                    refused.append((job.key if job else str(name), reason or ""))
        return Bulk(done=tuple(job.key for job in done), refused=tuple(refused), ids=tuple(job.id for job in done))


def _one_by_one(
    names: Sequence[Name],
    find: Callable[[sqlite3.Connection, Name], Job | None],
    one: Callable[[sqlite3.Connection, Job, UnixMs], str | None],
    db: sqlite3.Connection,
    now: UnixMs,
) -> list[tuple[Name, Job | None, str | None]]:
    """Each name with its job as it was, and why nothing was done to it."""
    answers: list[tuple[Name, Job | None, str | None]] = []
    for name in names:
        job = find(db, name)
        missing = "it was removed" if isinstance(name, int) else "there is no such job"
        answers.append((name, job, one(db, job, now) if job else missing))
    return answers
