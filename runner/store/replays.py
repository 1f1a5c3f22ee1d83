"""What a job was before its last replay, kept so that it can be undone. Runs in the caller's transaction."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from runner.units import UnixMs


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """A dead job, as far as a replay changes it."""

    not_before: UnixMs
    attempts: int
    rescues: int
    cancel: bool
    starts: int
    """A replay leaves it as it was; more since then: the job was claimed."""
    died_at: UnixMs


def keep(db: sqlite3.Connection, *, job_id: int, token: str, before: Before) -> None:
    """Write down what the act of this token is about to change; it takes the place of what was kept earlier."""
    db.execute(
        "INSERT OR REPLACE INTO replays (job_id, token, not_before, attempts, rescues, cancel, starts, died_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(job_id, token, before.not_before, before.attempts, before.rescues),
            *(int(before.cancel), before.starts, before.died_at),
        ),
    )


def of_job(db: sqlite3.Connection, job_id: int, *, token: str) -> Before | None:
    """What the job was before the act of this token; None when it was undone, or replayed again by another."""
    row = db.execute(
        "SELECT not_before, attempts, rescues, cancel, starts, died_at FROM replays WHERE job_id = ? AND token = ?",
        (job_id, token),
    ).fetchone()
    if row is None:
        return None
    return Before(
        not_before=UnixMs(row[0]),
        attempts=row[1],
        rescues=row[2],
        cancel=row[3] != 0,
        starts=row[4],
        died_at=UnixMs(row[5]),
    )


def forget(db: sqlite3.Connection, job_id: int) -> None:
    """It was undone: that can be done once."""
    db.execute("DELETE FROM replays WHERE job_id = ?", (job_id,))


def over(db: sqlite3.Connection, *, after_id: int, batch: int) -> tuple[list[int], int | None]:
    """Replayed jobs among the `batch` after an id that have ended since: no replay of them can be undone."""
    rows = db.execute(
        "SELECT job_id, (SELECT finished_at FROM jobs WHERE id = job_id) IS NOT NULL FROM replays "
        "WHERE job_id > ? ORDER BY job_id LIMIT ?",
        (after_id, batch),
    ).fetchall()
    return [id for id, ended in rows if ended], rows[-1][0] if len(rows) == batch else None


def prune(db: sqlite3.Connection, *, after_id: int, batch: int) -> tuple[int, int | None]:
    """Forget replays whose job is over, one batch; how many, and the id to go on from."""
    found, last = over(db, after_id=after_id, batch=batch)
    db.executemany("DELETE FROM replays WHERE job_id = ?", [(id,) for id in found])
    return len(found), last
