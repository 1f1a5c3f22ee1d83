"""How many tool calls models asked for in a job that has a limit on it. Runs in the caller's transaction."""

from __future__ import annotations

import sqlite3


def add(db: sqlite3.Connection, job_id: int, count: int) -> None:
    """Count some more."""
    db.execute(
        "INSERT INTO tool_calls (job_id, asked) SELECT id, ? FROM jobs WHERE id = ? "
        "ON CONFLICT (job_id) DO UPDATE SET asked = asked + excluded.asked",
        (count, job_id),
    )


def of_job(db: sqlite3.Connection, job_id: int) -> int:
    """All that were asked for, over all attempts."""
    row = db.execute("SELECT asked FROM tool_calls WHERE job_id = ?", (job_id,)).fetchone()
    return int(row[0]) if row else 0
