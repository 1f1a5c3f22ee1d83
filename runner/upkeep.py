"""The housekeeping of a running home: taking back lost work, renewing leases, pruning, keeping the log short."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from runner.config import Config
from runner.store import (
    alerts,
    attempts,
    breakers,
    charges,
    events,
    jobs,
    rate_pauses,
    repeats,
    runners,
    schedules,
    tallies,
)
from runner.store.attempts import Outcome
from runner.store.jobs import MAX_RESCUES, UNKNOWN_EFFECT, Job, JobStatus
from runner.store.writer import Writer
from runner.units import Clock, UnixMs, usd

PRUNE_BATCH = 200
"""Rows looked at in one transaction, so that none takes longer than 20 ms."""
WAL_LIMIT = 16 * 1024 * 1024
"""Bytes of the -wal file above which it is truncated when nobody is busy."""
KEEP_OUTPUT_FILES = 5_000


def take_back(db: sqlite3.Connection, *, runner: str, now: UnixMs, irreversible: Collection[str] = frozenset()) -> int:
    """Give the jobs of vanished runners back to the queue, in the caller's transaction; how many.

    Only for the holder of the home's lock: the lock proves that no other runner lives, and the guard that none of its
    workers does. A job that was lost too often, the last time alone, is a poison pill and goes to the dead letters, as
    does one of an `irreversible` task: it may have done what must not be done twice.
    """
    lost = jobs.orphans(db, runner=runner)
    for job in lost:
        _rescue(db, job, alone=len(lost) == 1, again=job.task not in irreversible, now=now)
    standing = charges.orphans(db, runner=runner)
    for charge, model, hold in standing:
        charges.let_stand(db, charge, note=charges.ORPHANED, now=now)
        text = f"a call to {model} was in flight when its runner ended: its hold of {usd(hold)} goes on counting"
        events.record(db, now=now, level=events.WARN, event="hold.orphan", text=text)
    if standing:
        calls = "a call was" if len(standing) == 1 else f"{len(standing)} calls were"
        whole = usd(sum(hold for _, _, hold in standing))
        text = (
            f"{calls} in flight when the runner ended: {whole} held for that goes on counting; "
            "`afk-runner spend --holds` lists it, and --write-off frees it"
        )
        alerts.raise_alert(db, key=f"orphans:{runner}", level=events.WARN, text=text, now=now)
    breakers.forget_trials(db, now=now)
    runners.bury(db, but=runner)
    return len(lost)


def _rescue(db: sqlite3.Connection, job: Job, *, alone: bool, again: bool, now: UnixMs) -> None:
    token = job.lease or ""
    if job.cancel:
        jobs.finish(db, id=job.id, token=token, status=JobStatus.CANCELLED, now=now, counted=False)
        what, text, level = Outcome.CANCELLED, "cancelled; its runner had vanished", events.INFO
    elif not again:
        error = f"its runner vanished under it; {UNKNOWN_EFFECT}"
        jobs.finish(db, id=job.id, token=token, status=JobStatus.DEAD, now=now, counted=True, error=error)
        what, text, level = Outcome.RESCUED, error, events.ERROR
    elif job.rescues >= MAX_RESCUES and alone:
        error = f"poison pill: its runner vanished under it {job.rescues + 1} times, at last with nothing beside it"
        jobs.finish(db, id=job.id, token=token, status=JobStatus.DEAD, now=now, counted=False, error=error)
        what, text, level = Outcome.RESCUED, error, events.ERROR
    else:
        fact = f"its runner vanished under it (rescue {job.rescues + 1} of {MAX_RESCUES})"
        jobs.put_back(db, id=job.id, token=token, not_before=now, gate="rescue", fact=fact, counted=False, rescued=True)
        what, text, level = Outcome.RESCUED, f"put back: {fact}", events.WARN
    attempts.end(db, job_id=job.id, n=job.starts, outcome=what, now=now, error="its runner vanished")
    word = "job.dead" if level == events.ERROR else "job.rescued"
    events.record(db, now=now, level=level, event=word, text=text, task=job.task, job=job.key, attempt=job.starts)


class Upkeep:
    """The slow rounds; each step is one short transaction."""

    def __init__(self, *, writer: Writer, config: Config, database: Path, outputs: Path, clock: Clock) -> None:
        """`outputs`: the folder with one file an attempt."""
        self._writer = writer
        self._config = config
        self._wal = database.with_name(database.name + "-wal")
        self._outputs = outputs
        self._clock = clock

    async def round(self, *, idle: bool) -> None:
        """One round. Raises StoreError; the next round goes on where it was."""
        await self._prune_jobs()
        while await self._writer.write(events.prune) == 500:
            pass
        while (
            await self._writer.write(lambda db: schedules.prune(db, now=self._clock.now(), batch=PRUNE_BATCH))
            == PRUNE_BATCH
        ):
            pass
        await self._writer.write(lambda db: runners.prune(db, now=self._clock.now()))
        await self._writer.write(lambda db: rate_pauses.prune(db, now=self._clock.now()))
        while await self._writer.write(lambda db: repeats.prune(db, now=self._clock.now())) == repeats.BATCH:
            pass
        await self._writer.write(lambda db: tallies.prune(db, now=self._clock.now()))
        await self._writer.write(lambda db: alerts.lapse(db, now=self._clock.now()))
        self._prune_outputs()
        if idle and self._wal_bytes() > WAL_LIMIT:
            await self._writer.checkpoint(truncate=True)

    async def _prune_jobs(self) -> None:
        settings = self._config.runner
        after: int | None = 0
        while after is not None:
            start = after
            _, after = await self._writer.write(
                lambda db, start=start: jobs.prune(  # type: ignore[misc]
                    db,
                    before=UnixMs(self._clock.now() - settings.keep_finished_ms),
                    keep=settings.keep_finished,
                    after_id=start,
                    batch=PRUNE_BATCH,
                )
            )

    def _prune_outputs(self) -> None:
        found = []
        with suppress(OSError):
            for path in self._outputs.iterdir():
                with suppress(OSError):  # a person may tidy up at the same time
                    found.append((path.stat().st_mtime, path))
        oldest = (self._clock.now() - self._config.runner.keep_finished_ms) / 1000
        for place, (changed, path) in enumerate(sorted(found)):
            if len(found) - place > KEEP_OUTPUT_FILES or changed < oldest:
                with suppress(OSError):
                    path.unlink()

    def _wal_bytes(self) -> int:
        try:
            return self._wal.stat().st_size
        except OSError:
            return 0
