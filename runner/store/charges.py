"""The ledger: one row a model call, reserved before a byte leaves and settled to its true cost after.

Runs in the caller's transaction. Triggers carry every change into the day's totals, the job and the attempt.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

from runner.store.enough import Enough, never
from runner.units import MicroUsd, UnixMs


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCharge:
    """A call about to be sent."""

    day: str
    """Of the cap's zone, fixed now."""
    zone: str
    job_id: int
    n: int
    """The attempt."""
    task: str
    upstream: str
    model: str
    runner: str
    hold: MicroUsd
    """An upper bound of the cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """A call as it stands in the ledger."""

    job_id: int
    task: str
    model: str
    state: str
    """`held`, `settled` or `released`."""
    hold: MicroUsd
    ended_at: UnixMs | None
    """None: in flight, or its runner died in it."""
    note: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """What counts against a cap."""

    settled: MicroUsd
    held: MicroUsd

    @property
    def committed(self) -> MicroUsd:
        """Settled and held."""
        return MicroUsd(self.settled + self.held)


ORPHANED = "its runner ended between hold and settle"
"""The note of a hold that stands for this reason."""


def hold(db: sqlite3.Connection, new: NewCharge, *, now: UnixMs) -> int:
    """Reserve; the charge's id."""
    row = db.execute(
        "INSERT INTO charges (day, zone, held_at, job_id, n, task, upstream, model, runner, hold) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
        (new.day, new.zone, now, new.job_id, new.n, new.task, new.upstream, new.model, new.runner, new.hold),
    ).fetchone()
    return int(row[0])


def refine(db: sqlite3.Connection, id: int, *, hold: MicroUsd) -> bool:
    """Lower the hold of a call in flight; False when it has ended or holds no more than that, and nothing changed."""
    return bool(
        db.execute(
            "UPDATE charges SET hold = ? WHERE id = ? AND state = 'held' AND ended_at IS NULL AND hold > ?",
            (hold, id, hold),
        ).rowcount
    )


def settle(
    db: sqlite3.Connection, id: int, *, cost: MicroUsd, usage: str, now: UnixMs, note: str | None = None
) -> bool:
    """Replace the hold by the true cost; False when the charge had ended already, and nothing changed."""
    return bool(
        db.execute(
            "UPDATE charges SET state = 'settled', cost = ?, usage = ?, note = ?, ended_at = ? "
            "WHERE id = ? AND state = 'held'",
            (cost, usage, note, now, id),
        ).rowcount
    )


def release(db: sqlite3.Connection, id: int, *, note: str, now: UnixMs) -> bool:
    """Give the hold back: the call cost nothing; False when the charge had ended already."""
    return bool(
        db.execute(
            "UPDATE charges SET state = 'released', note = ?, ended_at = ? WHERE id = ? AND state = 'held'",
            (note, now, id),
        ).rowcount
    )


def let_stand(db: sqlite3.Connection, id: int, *, note: str, now: UnixMs) -> bool:
    """The call ended and nobody knows its cost: the hold goes on counting."""
    return bool(
        db.execute(
            "UPDATE charges SET note = ?, ended_at = ? WHERE id = ? AND state = 'held' AND ended_at IS NULL",
            (note, now, id),
        ).rowcount
    )


def orphans(db: sqlite3.Connection, *, runner: str) -> list[tuple[int, str, MicroUsd]]:
    """Calls in flight of runners that are gone: id, model, hold. They go on counting."""
    rows = db.execute(
        "SELECT id, model, hold FROM charges WHERE state = 'held' AND ended_at IS NULL AND runner <> ?", (runner,)
    )
    return [(row[0], row[1], MicroUsd(row[2])) for row in rows]


def any_orphan(db: sqlite3.Connection) -> bool:
    """Whether the hold of a call still stands whose runner died in it."""
    return (
        db.execute("SELECT 1 FROM charges WHERE state = 'held' AND note = ? LIMIT 1", (ORPHANED,)).fetchone()
        is not None
    )


def by_id(db: sqlite3.Connection, id: int) -> Charge | None:
    """One call."""
    row = db.execute(
        "SELECT job_id, task, model, state, hold, ended_at, note FROM charges WHERE id = ?", (id,)
    ).fetchone()
    if row is None:
        return None
    return Charge(**dict(zip(("job_id", "task", "model", "state", "hold", "ended_at", "note"), row, strict=True)))


def spent_since_day(db: sqlite3.Connection, day: str, *, task: str | None = None) -> Spend:
    """Spend of a day and all later ones: a clock set back must free nothing. Of one task when given."""
    where, values = ("AND task = ?", (day, task)) if task is not None else ("", (day,))
    row = db.execute(
        f"SELECT coalesce(sum(settled), 0), coalesce(sum(held), 0) FROM spend_totals WHERE day >= ? {where}",  # noqa: S608
        values,
    ).fetchone()
    return Spend(settled=MicroUsd(row[0]), held=MicroUsd(row[1]))


def committed_since(db: sqlite3.Connection, at: UnixMs) -> MicroUsd:
    """What was committed by calls held at or after an instant, the future included."""
    return MicroUsd(db.execute("SELECT coalesce(sum(counted), 0) FROM charges WHERE held_at >= ?", (at,)).fetchone()[0])


def spent_since(db: sqlite3.Connection, at: UnixMs) -> Spend:
    """The same, settled and held apart: what counts comes from the index by time, the holds from that of the open."""
    committed = committed_since(db, at)
    sql = "SELECT coalesce(sum(hold), 0) FROM charges WHERE state = 'held' AND +held_at >= ?"
    held = MicroUsd(db.execute(sql, (at,)).fetchone()[0])
    return Spend(settled=MicroUsd(committed - held), held=held)


def first_since(db: sqlite3.Connection, at: UnixMs) -> UnixMs | None:
    """When the oldest call was held that counts, of those held at or after an instant."""
    row = db.execute(
        "SELECT held_at FROM charges WHERE held_at >= ? AND counted > 0 ORDER BY held_at LIMIT 1", (at,)
    ).fetchone()
    return UnixMs(row[0]) if row is not None else None


def in_flight(
    db: sqlite3.Connection,
    *,
    but_job: int,
    day: str | None = None,
    at: UnixMs | None = None,
    task: str | None = None,
) -> MicroUsd:
    """Holds of calls under way, those of one job left out: of a day or an instant and later, of one task when given."""
    row = db.execute(
        "SELECT coalesce(sum(hold), 0) FROM charges WHERE state = 'held' AND ended_at IS NULL AND job_id <> :but_job "
        "AND (:day IS NULL OR day >= :day) AND (:at IS NULL OR held_at >= :at) AND (:task IS NULL OR task = :task)",
        {"but_job": but_job, "day": day, "at": at, "task": task},
    ).fetchone()
    return MicroUsd(row[0])


def last_day_over(db: sqlite3.Connection, day: str, *, room: int, task: str | None = None) -> str | None:
    """The last day, `day` or later, from which on more than `room` is committed; None: `day` itself has room.

    It is `day` but for a clock that was ahead for a while: what was spent then counts until its own day is over.
    """
    row = db.execute(
        "SELECT max(day) FROM (SELECT day, sum(sum(settled + held)) OVER (ORDER BY day DESC) AS left FROM spend_totals "
        "WHERE day >= :day AND (:task IS NULL OR task = :task) GROUP BY day) WHERE left > :room",
        {"day": day, "task": task, "room": room},
    ).fetchone()
    return str(row[0]) if row[0] is not None else None


def last_to_leave(db: sqlite3.Connection, since: UnixMs, *, excess: MicroUsd) -> UnixMs | None:
    """When the call was held that, leaving the window after all older ones, takes the excess with it.

    `since`: where the window begins now. None: everything in it is less than the excess.
    """
    gone = 0
    rows = db.execute("SELECT held_at, counted FROM charges WHERE held_at >= ? ORDER BY held_at", (since,))
    for held_at, counted in rows:
        gone += counted
        if gone >= excess:
            return UnixMs(held_at)
    return None


def spent_on_job(db: sqlite3.Connection, job_id: int) -> Spend:
    """Spend of all attempts of a job."""
    row = db.execute("SELECT settled, held FROM jobs WHERE id = ?", (job_id,)).fetchone() or (0, 0)
    return Spend(settled=MicroUsd(row[0]), held=MicroUsd(row[1]))


KEEP = 10_000
"""The newest calls are kept whatever the clock says: one that is ahead makes the calls of today look old."""


def settled_before(db: sqlite3.Connection, *, now: UnixMs, keep_ms: int) -> UnixMs:
    """Before when a call is old. It is counted from the newest call where the clock is ahead of it."""
    newest = db.execute("SELECT max(held_at) FROM charges").fetchone()[0]
    return UnixMs(min(now, newest or 0) - keep_ms)


FOLDABLE = f"""
SELECT id, held_at < :before AS old, day, task, model, state, cost,
       state <> 'held' AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = charges.job_id) AS over
  FROM charges WHERE id > :after AND id <= (SELECT max(id) FROM charges) - {KEEP} ORDER BY id LIMIT :batch
"""  # noqa: S608 - our own constant


class Foldable(NamedTuple):
    """What folding finds among a stretch of calls."""

    rows: list[tuple[int, str, str, str, MicroUsd | None]]
    """Of calls whose rows nobody needs: id, day, task, model, and the cost of a settled one."""
    old: int
    """Calls of the stretch that are old, whether or not their rows go."""
    last: int | None
    """The id to go on from; None at the end."""


def foldable(db: sqlite3.Connection, *, before: UnixMs, after_id: int, batch: int) -> Foldable:
    """Of the `batch` calls after an id, those that are old, settled or released, and whose job is gone."""
    rows = db.execute(FOLDABLE, {"before": before, "after": after_id, "batch": batch}).fetchall()
    found = [(row[0], row[2], row[3], row[4], row[6]) for row in rows if row[1] and row[7]]
    return Foldable(found, sum(row[1] for row in rows), rows[-1][0] if len(rows) == batch else None)


def fold(
    db: sqlite3.Connection, *, before: UnixMs, after_id: int, batch: int, enough: Enough = never
) -> tuple[int, int | None]:
    """Let go of old calls, one batch; what they cost goes on counting. How many, and the id to go on from."""
    found, _, last = foldable(db, before=before, after_id=after_id, batch=batch)
    sums, calls = Counter[tuple[str, str, str]](), Counter[tuple[str, str, str]]()
    gone = 0
    for id, day, task, model, cost in found:
        if gone and enough():
            last = found[gone - 1][0]
            break
        db.execute("DELETE FROM charges WHERE id = ?", (id,))
        gone += 1
        if cost is not None:
            sums[day, task, model] += cost
            calls[day, task, model] += 1
    db.executemany(
        "INSERT INTO charges_folded (day, task, model, calls, settled) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE "
        "SET calls = calls + excluded.calls, settled = settled + excluded.settled",
        [(*kind, calls[kind], sums[kind]) for kind in calls],
    )
    return gone, last
