"""Whose turn it is when a configured rate has room again. Runs in the caller's transaction.

A turn is given in the transaction of the refusal, so jobs that are refused side by side get one each.
"""

from __future__ import annotations

import sqlite3

from runner.units import UnixMs


def ahead(db: sqlite3.Connection, upstream: str, *, job_id: int, now: UnixMs) -> int:
    """How many other jobs have a turn to come. Deletes the turns that have passed."""
    db.execute("DELETE FROM rate_turns WHERE upstream = ? AND turn <= ?", (upstream, now))
    row = db.execute("SELECT count(*) FROM rate_turns WHERE upstream = ? AND job_id <> ?", (upstream, job_id))
    return int(row.fetchone()[0])


def of(db: sqlite3.Connection, job_id: int, *, upstream: str) -> UnixMs | None:
    """The turn a job was given; None: it has none."""
    row = db.execute("SELECT turn FROM rate_turns WHERE job_id = ? AND upstream = ?", (job_id, upstream)).fetchone()
    return UnixMs(row[0]) if row else None


def give(db: sqlite3.Connection, *, job_id: int, upstream: str, turn: UnixMs) -> None:
    """Give a job its turn, in the place of any other it had."""
    db.execute(
        "INSERT INTO rate_turns (job_id, upstream, turn) VALUES (?, ?, ?) "
        "ON CONFLICT DO UPDATE SET upstream = excluded.upstream, turn = excluded.turn",
        (job_id, upstream, turn),
    )


def take(db: sqlite3.Connection, job_id: int) -> None:
    """The job went; it waits for no turn any more."""
    db.execute("DELETE FROM rate_turns WHERE job_id = ?", (job_id,))


def clear(db: sqlite3.Connection) -> None:
    """All who wait begin anew, as the limits were changed."""
    db.execute("DELETE FROM rate_turns")
