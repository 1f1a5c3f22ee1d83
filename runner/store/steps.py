"""Recorded parts of a job, so that a later attempt does not do or buy them again. Runs in the caller's transaction."""

from __future__ import annotations

import sqlite3

from runner.errors import LeaseLost
from runner.units import UnixMs


def record(db: sqlite3.Connection, *, job_id: int, n: int, token: str, name: str, result: str, now: UnixMs) -> None:
    """Keep the JSON text a step gave; the first record of a name stands.

    Raises LeaseLost, and changes nothing, when the job is not leased under `token`.
    """
    held = db.execute(
        "SELECT 1 FROM jobs WHERE id = ? AND status = 'running' AND lease = ?", (job_id, token)
    ).fetchone()
    if not held:
        raise LeaseLost(f"job {job_id} is not leased under this token any more; step {name!r} was not recorded")
    db.execute(
        "INSERT INTO steps (job_id, name, result, n, at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (job_id, name, result, n, now),
    )


def of_job(db: sqlite3.Connection, job_id: int) -> dict[str, str]:
    """Name to JSON text of every recorded step, in the order of the names."""
    rows = db.execute("SELECT name, result FROM steps WHERE job_id = ? ORDER BY name", (job_id,))
    return {name: result for name, result in rows}
