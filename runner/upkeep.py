"""The housekeeping of a running home: taking back lost work, renewing leases, pruning, keeping the log short."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import TypeVar

from runner import telling
from runner.care import files, retention
from runner.care.retention import Batch, Step
from runner.config import Config
from runner.store import (
    alerts,
    attempts,
    breakers,
    charges,
    controls,
    events,
    incidents,
    jobs,
    leases,
    outcomes,
    rate_pauses,
    repeats,
    runners,
    schedules,
    tallies,
)
from runner.store.attempts import Outcome
from runner.store.jobs import UNKNOWN_EFFECT, Job, JobStatus
from runner.store.leases import MAX_RESCUES
from runner.store.writer import Writer
from runner.units import HOUR_MS, Clock, UnixMs, usd

T = TypeVar("T")

WAL_LIMIT = 16 * 1024 * 1024
"""Bytes of the -wal file above which it is cut short."""
RARELY_MS = HOUR_MS
"""What hardly ever has anything to let go of is looked at no more often. Counted over restarts: under cron each round
is the only one of its process."""


def take_back(
    db: sqlite3.Connection,
    *,
    runner: str,
    now: UnixMs,
    irreversible: Collection[str] = frozenset(),
    blameless: bool = False,
) -> int:
    """Give the jobs of vanished runners back to the queue, in the caller's transaction; how many.

    Only for the holder of the home's lock: the lock proves that no other runner lives, and the guard that none of its
    workers does. A job that was lost too often, the last time alone, is a poison pill and goes to the dead letters, as
    does one of an `irreversible` task: it may have done what must not be done twice. `blameless`: its runner stood
    still or was frozen, which no job can do to it, so this loss is not counted against any.
    """
    lost = leases.orphans(db, runner=runner)
    for job in lost:
        _rescue(db, job, alone=len(lost) == 1, again=job.task not in irreversible, blameless=blameless, now=now)
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
        telling.tell(db, key=f"orphans:{runner}", level=events.WARN, text=text, now=now)
    breakers.forget_trials(db, now=now)
    runners.bury(db, but=runner)
    return len(lost)


def _rescue(db: sqlite3.Connection, job: Job, *, alone: bool, again: bool, blameless: bool, now: UnixMs) -> None:
    token = job.lease or ""
    if job.cancel:
        leases.finish(db, id=job.id, token=token, status=JobStatus.CANCELLED, now=now, counted=False)
        what, text, level = Outcome.CANCELLED, "cancelled; its runner had vanished", events.INFO
    elif not again:
        error = f"its runner vanished under it; {UNKNOWN_EFFECT}"
        telling.dead(db, task=job.task, job=job.key, error=error, now=now)
        leases.finish(db, id=job.id, token=token, status=JobStatus.DEAD, now=now, counted=True, error=error)
        what, text, level = Outcome.RESCUED, error, events.ERROR
    elif blameless:
        fact = "its runner stood still and was ended"
        leases.put_back(db, id=job.id, token=token, not_before=now, gate="rescue", fact=fact, counted=False)
        what, text, level = Outcome.RESCUED, f"put back: {fact}", events.WARN
    elif job.rescues >= MAX_RESCUES and alone:
        error = f"poison pill: its runner vanished under it {job.rescues + 1} times, at last with nothing beside it"
        telling.dead(db, task=job.task, job=job.key, error=error, poison=True, now=now)
        leases.finish(db, id=job.id, token=token, status=JobStatus.DEAD, now=now, counted=False, error=error)
        what, text, level = Outcome.RESCUED, error, events.ERROR
    else:
        fact = f"its runner vanished under it (rescue {job.rescues + 1} of {MAX_RESCUES})"
        leases.put_back(
            db, id=job.id, token=token, not_before=now, gate="rescue", fact=fact, counted=False, rescued=True
        )
        what, text, level = Outcome.RESCUED, f"put back: {fact}", events.WARN
    attempts.end(db, job_id=job.id, n=job.starts, outcome=what, now=now, error="its runner vanished")
    word = "job.dead" if level == events.ERROR else "job.rescued"
    events.record(db, now=now, level=level, event=word, text=text, task=job.task, job=job.key, attempt=job.starts)


class Upkeep:
    """The slow rounds; each step is one short transaction, and half of the time is left to everybody else."""

    def __init__(self, *, writer: Writer, config: Config, database: Path, outputs: Path, clock: Clock) -> None:
        """`outputs`: the folder with one file an attempt."""
        self._writer = writer
        self._config = config
        self._wal = database.with_name(database.name + "-wal")
        self._outputs = outputs
        self._clock = clock
        self._at_work = False

    async def round(self) -> None:
        """One round, unless one is under way. Raises StoreError; the next round begins anew."""
        if self._at_work:
            return
        self._at_work = True
        try:
            await self._round()
        finally:
            self._at_work = False

    async def _round(self) -> None:
        now = self._clock.now()
        # First what people are told by: a round that is cut short in a backlog below must not put it off for ever.
        await self._share(lambda db: alerts.lapse(db, now=now))
        await self._share(lambda db: telling.dead_no_more(db, now=now))
        await self._share(lambda db: alerts.prune(db, now=now))
        last = await self._share(controls.tidied_at)
        rarely = last is None or not 0 <= now - last < RARELY_MS
        for step in retention.steps(self._config.runner, now=now):
            if step.often or rarely:
                await self._let_go(step)
        if rarely:
            await self._share(lambda db: controls.note_tidied(db, now=now))
        while await self._share(lambda db: schedules.prune(db, now=now, batch=retention.BATCH)) == retention.BATCH:
            pass
        await self._share(lambda db: runners.prune(db, now=now))
        await self._share(lambda db: rate_pauses.prune(db, now=now))
        while await self._share(lambda db: repeats.prune(db, now=now)) == repeats.BATCH:
            pass
        await self._share(lambda db: tallies.prune(db, now=now))
        await self._share(lambda db: incidents.prune(db, now=now, batch=retention.BATCH))
        await self._share(lambda db: outcomes.prune(db, now=now, batch=retention.BATCH))
        await self._prune_outputs(now)
        await self.shorten()

    async def shorten(self) -> None:
        """Cut the database's log short if it is long. Beside readers who never pause it may take several tries."""
        if self._wal_bytes() > WAL_LIMIT:
            await self._writer.checkpoint(truncate=True)

    async def _let_go(self, step: Step) -> None:
        after: int | None = 0
        fruitless = 0
        while after is not None and fruitless < retention.FRUITLESS:
            batch = await self._share(partial(_act, step, after))
            after = batch.last
            fruitless = fruitless + 1 if batch.fruitless else 0

    async def _share(self, act: Callable[[sqlite3.Connection], T]) -> T:
        """A transaction, and then as long a rest: a backlog of an hour must not slow down the work of that hour."""
        begin = time.monotonic()
        given = await self._writer.write(act)
        await asyncio.sleep(time.monotonic() - begin)
        return given

    async def _prune_outputs(self, now: UnixMs) -> None:
        settings = self._config.runner
        found = await asyncio.to_thread(files.outputs, self._outputs)
        before, most_bytes = UnixMs(now - settings.keep_finished_ms), settings.keep_output_mb * 1_000_000
        too_many = partial(files.too_many, found, before=before, most_bytes=most_bytes)
        if not too_many(protected=set()):
            return
        ids = sorted({output.job for output in found})
        protected = set[int]()
        for start in range(0, len(ids), retention.BATCH):
            some = ids[start : start + retention.BATCH]
            protected |= await self._share(partial(_protected, some))
        await asyncio.to_thread(files.delete, too_many(protected=protected))

    def _wal_bytes(self) -> int:
        try:
            return self._wal.stat().st_size
        except OSError:
            return 0


def _act(step: Step, after: int, db: sqlite3.Connection) -> Batch:
    return step.act(db, after)


def _protected(ids: list[int], db: sqlite3.Connection) -> set[int]:
    return jobs.protected(db, ids)
