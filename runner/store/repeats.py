"""How often a job was answered the very same request. Runs in the caller's transaction."""

from __future__ import annotations

import sqlite3

from runner.units import HOUR_MS, UnixMs

SPAN_MS = HOUR_MS
"""A count that began longer ago begins anew."""
BATCH = 500
"""Counts deleted in one transaction."""


def answered(db: sqlite3.Connection, *, job_id: int, request: str, now: UnixMs) -> int:
    """Count an answer; how many it were with this one."""
    row = db.execute(
        "INSERT INTO repeats (job_id, request, answers, since) VALUES (:job, :request, 1, :now) ON CONFLICT DO UPDATE "
        "SET answers = iif(since > :begun AND since <= :now, answers + 1, 1), "
        "since = iif(since > :begun AND since <= :now, since, :now) RETURNING answers",
        {"job": job_id, "request": request, "now": now, "begun": now - SPAN_MS},
    ).fetchone()
    return int(row[0])


def forget(db: sqlite3.Connection, *, job_id: int, request: str) -> None:
    """Begin the count anew."""
    db.execute("DELETE FROM repeats WHERE job_id = ? AND request = ?", (job_id, request))


def prune(db: sqlite3.Connection, *, now: UnixMs) -> int:
    """Delete counts that are over; how many. Call again while it is `BATCH`."""
    return db.execute(
        "DELETE FROM repeats WHERE (job_id, request) IN (SELECT job_id, request FROM repeats WHERE since <= ? LIMIT ?)",
        (now - SPAN_MS, BATCH),
    ).rowcount
