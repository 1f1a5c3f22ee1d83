"""Answers of models that their job has not recorded yet: paid for, so a later attempt does not buy them again.

Runs in the caller's transaction. An answer goes with the step that records it; triggers drop all of a job that ends.
"""

from __future__ import annotations

import sqlite3

MOST_KEPT = 32
"""Of one job: as many asks as a task that awaits them side by side has threads for."""

KEEP = """
INSERT OR REPLACE INTO answers (job_id, step, question, body)
SELECT id, :step, :question, :body FROM jobs WHERE id = :job_id AND status = 'running' AND lease = :lease
"""

TRIM = """
DELETE FROM answers WHERE job_id = :job_id AND rowid <=
    (SELECT rowid FROM answers WHERE job_id = :job_id ORDER BY rowid DESC LIMIT 1 OFFSET :most)
"""


def keep(db: sqlite3.Connection, job_id: int, *, lease: str, step: str, question: str, body: str) -> None:
    """Keep an answer in the place of the step's one before, and of the job's oldest beyond `MOST_KEPT`.

    Nothing is kept for an attempt that is over.
    """
    row = {"job_id": job_id, "lease": lease, "step": step, "question": question, "body": body}
    if db.execute(KEEP, row).rowcount:
        db.execute(TRIM, {"job_id": job_id, "most": MOST_KEPT})


def of_job(db: sqlite3.Connection, job_id: int) -> dict[str, tuple[str, str]]:
    """By the step that is to record it: the hash of its question, and the answer."""
    rows = db.execute("SELECT step, question, body FROM answers WHERE job_id = ?", (job_id,))
    return {step: (question, body) for step, question, body in rows}


def drop(db: sqlite3.Connection, job_id: int, *, step: str | None = None) -> None:
    """The answer a step has recorded, or all of a job as of no use."""
    db.execute("DELETE FROM answers WHERE job_id = ? AND (? IS NULL OR step = ?)", (job_id, step, step))
