"""Acts on jobs: they name ids or keys, never positions, and say what they refused."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from runner.commands.base import BATCH, Acts
from runner.config import TaskConfig
from runner.enqueue import Enqueued, JobRequest, insert_jobs, new_job
from runner.errors import UsageError
from runner.store import jobs
from runner.store.jobs import Job, NewJob
from runner.units import UnixMs


@dataclass(frozen=True, slots=True, kw_only=True)
class Bulk:
    """What an act on several jobs did."""

    done: tuple[str, ...]
    """Keys."""
    refused: tuple[tuple[str, str], ...]
    """Key or id, and why not."""


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


def _keys_of(ids: Sequence[int], db: sqlite3.Connection, _: UnixMs) -> dict[int, str]:
    marks = ", ".join("?" * len(ids))
    return dict(db.execute(f"SELECT id, key FROM jobs WHERE id IN ({marks})", list(ids)).fetchall())  # noqa: S608 - marks only
