"""What is let go of, and when. The runner's upkeep and `afk-runner prune` walk the same steps.

Nothing unfinished, dead, unsettled or undecided is ever among it. Each batch is one transaction that ends after a few
milliseconds, however large its rows are: somebody may be waiting to kill.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from runner.config import RunnerConfig
from runner.store import charges, drafts, enough, events, jobs, replays
from runner.store.steps import thin
from runner.units import UnixMs

BATCH = 200
"""Rows looked at in one transaction."""
FRUITLESS = 100
"""So many batches in a row of what may go one day, and nothing that goes now: what comes after is younger still."""


class Batch(NamedTuple):
    """What became of one stretch of rows."""

    gone: int
    last: int | None
    """The id to go on from; None: that was the end."""
    fruitless: bool = False
    """There were rows that may go one day, and none of them did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One kind of row that is let go of."""

    name: str
    """In words, for whoever asked how many went."""
    act: Callable[[sqlite3.Connection, int], Batch]
    """Delete one batch after an id, in the caller's transaction. It may run twice."""
    look: Callable[[sqlite3.Connection, int, int], Batch]
    """The same without deleting; the last number is how many it would have deleted before."""
    often: bool = False
    """Upkeep looks each minute."""


def steps(settings: RunnerConfig, *, now: UnixMs) -> tuple[Step, ...]:
    """All of it, in the order in which one thing frees the next."""
    before = UnixMs(now - settings.keep_finished_ms)
    return (
        finished_jobs(before, settings.keep_finished),
        _calls(now, settings.keep_calls_ms),
        Step(
            name="decided drafts",
            act=lambda db, after: Batch(
                *drafts.prune(db, before=before, after_id=after, batch=BATCH, enough=enough.after())
            ),
            look=lambda db, after, _: _counted(drafts.prunable(db, before=before, after_id=after, batch=BATCH)),
        ),
        Step(
            name="events",
            act=lambda db, _: _more(events.prune(db, batch=BATCH)),
            look=lambda db, _, __: Batch(events.too_many(db), None),
            often=True,
        ),
        Step(
            name="replays that are over",
            act=lambda db, after: Batch(*replays.prune(db, after_id=after, batch=BATCH)),
            look=lambda db, after, _: _counted(replays.over(db, after_id=after, batch=BATCH)),
        ),
    )


def walk(step: Step, turn: Callable[[Callable[[sqlite3.Connection], Batch]], Batch]) -> int:
    """Let go of everything of one kind; how many went. `turn` runs an act in a transaction of its own."""
    gone, after = 0, 0
    while True:
        batch = turn(partial(_act, step, after))
        gone += batch.gone
        if batch.last is None:
            return gone
        after = batch.last


def count(step: Step, db: sqlite3.Connection) -> int:
    """How many `walk` would let go of; changes nothing."""
    gone, after = 0, 0
    while True:
        batch = step.look(db, after, gone)
        gone += batch.gone
        if batch.last is None:
            return gone
        after = batch.last


def _act(step: Step, after: int, db: sqlite3.Connection) -> Batch:
    return step.act(db, after)


def finished_jobs(before: UnixMs, keep: int, *, batch: int | None = None) -> Step:
    """Jobs that ended well, were halted or cancelled, with all that hangs on them."""

    def act(db: sqlite3.Connection, after: int) -> Batch:
        is_enough = enough.after()
        found = jobs.prunable(db, before=before, over=jobs.finished(db) - keep, after_id=after, batch=batch or BATCH)
        for place, id in enumerate(found.ids):
            # A job may have recorded a thousand steps of a megabyte: they go first, over several transactions.
            if (place and is_enough()) or not thin(db, id, enough=is_enough):
                return Batch(place, id - 1)
            jobs.remove(db, id=id)
        return Batch(len(found.ids), found.last, bool(found.ended) and not found.ids)

    def look(db: sqlite3.Connection, after: int, gone: int) -> Batch:
        found = jobs.prunable(
            db, before=before, over=jobs.finished(db) - keep - gone, after_id=after, batch=batch or BATCH
        )
        return Batch(len(found.ids), found.last)

    return Step(name="finished jobs", act=act, look=look, often=True)


def _calls(now: UnixMs, keep_ms: int) -> Step:
    def act(db: sqlite3.Connection, after: int) -> Batch:
        before = charges.settled_before(db, now=now, keep_ms=keep_ms)
        found = charges.foldable(db, before=before, after_id=after, batch=BATCH)
        if not found.rows:
            return Batch(0, found.last, fruitless=not found.old)
        return Batch(*charges.fold(db, before=before, after_id=after, batch=BATCH, enough=enough.after()))

    def look(db: sqlite3.Connection, after: int, _: int) -> Batch:
        before = charges.settled_before(db, now=now, keep_ms=keep_ms)
        found = charges.foldable(db, before=before, after_id=after, batch=BATCH)
        return Batch(len(found.rows), found.last)

    return Step(name="calls, now part of the sums of their days", act=act, look=look)


def _more(gone: int) -> Batch:
    """Of what has no ids to go on from: again, until a batch is not full."""
    return Batch(gone, 0 if gone == BATCH else None)


def _counted(found: tuple[list[int], int | None]) -> Batch:
    return Batch(len(found[0]), found[1])
