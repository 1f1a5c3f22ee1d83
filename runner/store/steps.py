"""Recorded parts of a job, so that a later attempt does not do or buy them again. Runs in the caller's transaction."""

from __future__ import annotations

import sqlite3

from runner.store.enough import Enough
from runner.units import UnixMs


def record(db: sqlite3.Connection, *, job_id: int, n: int, name: str, result: str, now: UnixMs) -> None:
    """Keep the JSON text a step gave; the first record of a name stands."""
    db.execute(
        "INSERT INTO steps (job_id, name, result, n, at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (job_id, name, result, n, now),
    )


def of_job(db: sqlite3.Connection, job_id: int) -> dict[str, str]:
    """Name to JSON text of every recorded step, in the order they were recorded."""
    rows = db.execute("SELECT name, result FROM steps WHERE job_id = ? ORDER BY at, name", (job_id,))
    return dict(rows.fetchall())


def thin(db: sqlite3.Connection, job_id: int, *, enough: Enough, batch: int = 20) -> bool:
    """Delete the steps of a job that is about to go; False when that was enough for now and some are left."""
    gone = batch
    while gone == batch:
        gone = db.execute(
            "DELETE FROM steps WHERE job_id = ? AND name IN (SELECT name FROM steps WHERE job_id = ? LIMIT ?)",
            (job_id, job_id, batch),
        ).rowcount
        if gone == batch and enough():
            return False
    return True
