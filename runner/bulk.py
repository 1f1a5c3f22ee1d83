"""THE WRITE DOOR for very many jobs: all or none of them, in one transaction, however large the stream.

Nobody can hold the write lock while a slow producer still talks, and nobody can hold a hundred thousand payloads in
memory. So the requests are checked one by one into a spool first, and the transaction reads the spool.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO

from runner.commands import Door
from runner.config import TaskConfig
from runner.enqueue import JobRequest, new_job
from runner.errors import StoreFull, UsageError
from runner.store import events, jobs
from runner.store.jobs import JobStatus, NewJob
from runner.units import UnixMs, plural

MAX_JOBS = 150_000
"""A transaction of more would hold the lock for longer than others wait for it: 25 us a job were measured."""
MAX_SPOOL_BYTES = 512_000_000
"""The same, for jobs with large payloads."""
_IN_MEMORY = 8_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What became of a stream of requests."""

    created: int
    existing: int
    keys: tuple[tuple[str, bool, JobStatus], ...]
    """Key, whether it was created, and the status of the job with that key; in the order of the stream."""


class BulkDoor(Door):
    """The door with one act more."""

    def enqueue_all(
        self, tasks: Mapping[str, TaskConfig], requests: Iterable[tuple[int, JobRequest]], *, max_attempts: int
    ) -> Added:
        """Add every request, each given with its line number, or none at all.

        Raises UsageError naming the line of the first request that cannot be a job, StoreFull, StoreError.
        """
        try:
            # In the home: it is on a local disk, and unlike some /tmp it is not memory. The file never has a name.
            with tempfile.SpooledTemporaryFile(_IN_MEMORY, "w+", encoding="utf-8", dir=str(self.home.root)) as spool:
                self._fill(spool, tasks, requests, max_attempts)
                return self._transact(lambda db, now: self._insert(db, spool, now))
        except OSError as error:
            raise StoreFull(f"the jobs could not be spooled in {self.home.root}: {error.strerror}") from error

    def _fill(
        self,
        spool: IO[str],
        tasks: Mapping[str, TaskConfig],
        requests: Iterable[tuple[int, JobRequest]],
        max_attempts: int,
    ) -> None:
        now = self._clock.now()
        written = 0
        for count, (line, request) in enumerate(requests, start=1):
            try:
                job = new_job(tasks, request, now=now, max_attempts=max_attempts)
            except UsageError as error:
                raise UsageError(f"line {line}: {error}; nothing was added") from None
            written += spool.write(json.dumps(job) + "\n")
            if count > MAX_JOBS or written > MAX_SPOOL_BYTES:
                most = f"{MAX_JOBS:,} jobs or {MAX_SPOOL_BYTES // 1_000_000} MB"
                raise UsageError(f"line {line}: more than {most} in one go; split the input, nothing was added")

    def _insert(self, db: sqlite3.Connection, spool: IO[str], now: UnixMs) -> Added:
        keys = []
        created = 0
        for job in _spooled(spool):
            new = jobs.insert(db, job, now=now) is not None
            created += new
            keys.append((job.key, new, JobStatus.PENDING if new else _status(db, job.key)))
        if created:
            text = f"{plural(created, 'job')} queued by {self._by}"
            events.record(db, now=now, level=events.INFO, event="job.queued", text=text)
        return Added(created=created, existing=len(keys) - created, keys=tuple(keys))


def _spooled(spool: IO[str]) -> Iterator[NewJob]:
    spool.seek(0)
    for line in spool:
        yield NewJob(*json.loads(line))


def _status(db: sqlite3.Connection, key: str) -> JobStatus:
    row = db.execute("SELECT status FROM jobs WHERE key = ?", (key,)).fetchone()
    return JobStatus(row[0])
