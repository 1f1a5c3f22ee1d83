"""The last answer of a model that its job has not recorded yet: paid for, so a later attempt does not buy it again.

Runs in the caller's transaction. One a job; it goes with the step that records it, or with the job.
"""

from __future__ import annotations

import sqlite3


def keep(db: sqlite3.Connection, job_id: int, *, question: str, body: str) -> None:
    """Keep an answer in the place of the one before."""
    db.execute(
        "INSERT INTO answers (job_id, question, body) SELECT id, ?, ? FROM jobs WHERE id = ? "
        "ON CONFLICT (job_id) DO UPDATE SET question = excluded.question, body = excluded.body",
        (question, body, job_id),
    )


def of_job(db: sqlite3.Connection, job_id: int) -> tuple[str, str] | None:
    """The hash of its question, and the answer; None: all are recorded."""
    row = db.execute("SELECT question, body FROM answers WHERE job_id = ?", (job_id,)).fetchone()
    return (row[0], row[1]) if row else None


def drop(db: sqlite3.Connection, job_id: int) -> None:
    """It was recorded, or is of no use."""
    db.execute("DELETE FROM answers WHERE job_id = ?", (job_id,))
