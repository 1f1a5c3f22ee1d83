"""How jobs ended and what happened, counted by the quarter of an hour. Triggers count; nobody else writes it.

Rows of jobs and events are pruned and may be a million a day: these counters stay, and a report reads them alone.
Every zone's midnight falls between two quarters. Runs in the caller's transaction.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from runner.units import DAY_MS, MINUTE_MS, MicroUsd, UnixMs

QUARTER_MS = 15 * MINUTE_MS
KEEP_MS = 400 * DAY_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """Jobs of one task that ended the same way."""

    task: str
    status: str
    jobs: int
    cost: MicroUsd
    """Of their attempts, what was held for them included, when they ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """How often something happened."""

    event: str
    """As of an event."""
    task: str
    """Empty: to none."""
    number: int


ENDED = """
SELECT task, status, sum(jobs), sum(cost) FROM ended WHERE quarter >= ? AND quarter < ?
 GROUP BY task, status ORDER BY task, status
"""
HAPPENED = """
SELECT event, task, sum(number) FROM happenings WHERE quarter >= ? AND quarter < ?
 GROUP BY event, task ORDER BY event, task
"""


def ended(db: sqlite3.Connection, *, since: UnixMs, until: UnixMs) -> list[Ended]:
    """How jobs ended from the quarter of `since` to that before `until`, by task."""
    rows = db.execute(ENDED, _quarters(since, until))
    return [Ended(task=row[0], status=row[1], jobs=row[2], cost=MicroUsd(row[3])) for row in rows]


def happened(db: sqlite3.Connection, *, since: UnixMs, until: UnixMs) -> list[Happened]:
    """What happened then, but for what only says that a job went its usual way."""
    return [Happened(event=row[0], task=row[1], number=row[2]) for row in db.execute(HAPPENED, _quarters(since, until))]


def prune(db: sqlite3.Connection, *, now: UnixMs, batch: int) -> int:
    """Forget the oldest counters, at most `batch` of each kind; how many went."""
    gone = 0
    for table, rest in (("outcomes", "task, status"), ("happenings", "event, task")):
        gone += db.execute(
            f"DELETE FROM {table} WHERE (quarter, {rest}) IN "  # noqa: S608 - our own names
            f"(SELECT quarter, {rest} FROM {table} WHERE quarter < ? LIMIT ?)",
            ((now - KEEP_MS) // QUARTER_MS, batch),
        ).rowcount
    return gone


def too_old(db: sqlite3.Connection, *, now: UnixMs) -> int:
    """How many `prune` would forget, until it finds no more."""
    before = (now - KEEP_MS) // QUARTER_MS
    found = db.execute(
        "SELECT (SELECT count(*) FROM outcomes WHERE quarter < :before) + "
        "(SELECT count(*) FROM happenings WHERE quarter < :before)",
        {"before": before},
    ).fetchone()
    return int(found[0])


def _quarters(since: UnixMs, until: UnixMs) -> tuple[int, int]:
    return since // QUARTER_MS, -(-until // QUARTER_MS)
