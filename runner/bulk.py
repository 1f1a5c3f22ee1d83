"""THE WRITE DOOR for very many jobs: all or none of them, in one transaction, however large the stream.

Nobody can hold the write lock while a slow producer still talks, and nobody can hold a hundred thousand payloads in
memory. So the requests are checked one by one and laid aside first, in a file beyond some size, and the transaction
takes them from there.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from runner.commands import Door
from runner.config import TaskConfig
from runner.enqueue import Enqueued, JobRequest, became, new_job
from runner.errors import StoreFull, UsageError
from runner.store import events, jobs
from runner.store.jobs import NewJob
from runner.units import UnixMs, plural

MAX_JOBS = 150_000
"""A transaction of more would hold the lock for longer than others wait for it: 25 us a job were measured."""
MAX_SPOOL_BYTES = 512_000_000
"""The same, for jobs with large payloads."""
_IN_MEMORY = 16_000_000
"""Bytes of jobs that are held without a file."""
_ROW = 300
"""What a job takes of them beside its payload."""
_LOT = 1_000
"""Jobs that are written to the file, read and inserted at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What became of a stream of requests."""

    created: int
    existing: int
    keys: tuple[Enqueued, ...]
    """In the order of the stream."""


class BulkDoor(Door):
    """The door with one act more."""

    def enqueue_all(
        self, tasks: Mapping[str, TaskConfig], requests: Iterable[tuple[int, JobRequest]], *, max_attempts: int
    ) -> Added:
        """Add every request, each given with its line number, or none at all.

        Raises UsageError naming the line of the first request that cannot be a job, StoreFull, StoreError.
        """
        try:
            with _Spool(self.home.root) as spool:
                self._fill(spool, tasks, requests, max_attempts)
                return self._transact(lambda db, now: self._insert(db, spool, now))
        except OSError as error:
            raise StoreFull(f"the jobs could not be spooled in {self.home.root}: {error.strerror}") from error

    def _fill(
        self,
        spool: _Spool,
        tasks: Mapping[str, TaskConfig],
        requests: Iterable[tuple[int, JobRequest]],
        max_attempts: int,
    ) -> None:
        now = self._clock.now()
        for count, (line, request) in enumerate(requests, start=1):
            try:
                job = new_job(tasks, request, now=now, max_attempts=max_attempts)
            except UsageError as error:
                raise UsageError(f"line {line}: {error}; nothing was added") from None
            spool.add(job)
            if count > MAX_JOBS or spool.size > MAX_SPOOL_BYTES:
                most = f"{MAX_JOBS:,} jobs or {MAX_SPOOL_BYTES // 1_000_000} MB"
                raise UsageError(f"line {line}: more than {most} in one go; split the input, nothing was added")

    def _insert(self, db: sqlite3.Connection, spool: _Spool, now: UnixMs) -> Added:
        keys: list[Enqueued] = []
        created = 0
        for lot in spool.lots():
            before = jobs.insert_all(db, lot, now=now)
            created += before.count(None)
            keys += became(lot, before)
        if created:
            text = f"{plural(created, 'job')} queued by {self._by}"
            events.record(db, now=now, level=events.INFO, event="job.queued", text=text)
        return Added(created=created, existing=len(keys) - created, keys=tuple(keys))


class _Spool:
    """Jobs in their order: in memory at first, and in a file of the home from some size on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rest: list[NewJob] = []
        """The newest, which are in no file."""
        self._held = 0
        self._file: IO[str] | None = None
        self.size = 0
        """Of all of them, in bytes or a little less."""

    def add(self, job: NewJob) -> None:
        """Lay one more aside. Raises OSError."""
        self._rest.append(job)
        size = _ROW + len(job.payload) + len(job.criteria or "")
        self.size += size
        self._held += size
        if self._held > _IN_MEMORY or (self._file is not None and len(self._rest) == _LOT):
            self._write()

    def _write(self) -> None:
        if self._file is None:
            # In the home: it is on a local disk, and unlike some /tmp it is not memory. The file never has a name.
            self._file = tempfile.TemporaryFile("w+", encoding="utf-8", dir=self._folder)  # noqa: SIM115 - closed at exit
        for start in range(0, len(self._rest), _LOT):
            self._file.write(json.dumps(self._rest[start : start + _LOT]) + "\n")
        self._rest, self._held = [], 0

    def lots(self) -> Iterator[list[NewJob]]:
        """All of them, some at a time."""
        if self._file is not None:
            self._file.seek(0)
            for line in self._file:
                yield [NewJob(*row) for row in json.loads(line)]
        for start in range(0, len(self._rest), _LOT):
            yield self._rest[start : start + _LOT]

    def __enter__(self) -> _Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
