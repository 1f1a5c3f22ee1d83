"""The history of each job: one row a start. Runs in the caller's transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from runner.units import MicroUsd, UnixMs


class Outcome(StrEnum):
    """How an attempt ended."""

    DONE = "done"
    RETRY = "retry"
    """It failed and counts; the job goes back with a backoff, or is dead when this was the last."""
    DEAD = "dead"
    """It failed and says that no retry can help."""
    HALTED = "halted"
    SNOOZED = "snoozed"
    """A gate stopped it; it does not count."""
    RESCUED = "rescued"
    """Its runner vanished."""
    CANCELLED = "cancelled"

    @property
    def word(self) -> str:
        """As a person reads it: a last attempt fails too, and whether one was tried again the next one shows."""
        return "failed" if self is Outcome.RETRY else self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One start of a job."""

    n: int
    runner: str
    started_at: UnixMs
    ended_at: UnixMs | None
    outcome: Outcome | None
    """None: still running."""
    error: str | None
    tail: str | None
    """The end of what it printed."""
    cost: MicroUsd
    """Settled and held of its calls."""


COLUMNS = ("n", "runner", "started_at", "ended_at", "outcome", "error", "tail", "cost")


START = "INSERT INTO attempts (job_id, n, runner, started_at) VALUES (?, ?, ?, ?)"
END = """
UPDATE attempts SET outcome = ?, ended_at = ?, error = ?, tail = ? WHERE job_id = ? AND n = ? AND outcome IS NULL
"""


def start(db: sqlite3.Connection, *, job_id: int, n: int, runner: str, now: UnixMs) -> None:
    """Write down that an attempt began."""
    db.execute(START, (job_id, n, runner, now))


def end(
    db: sqlite3.Connection,
    *,
    job_id: int,
    n: int,
    outcome: Outcome,
    now: UnixMs,
    error: str | None = None,
    tail: str | None = None,
) -> None:
    """Write down how an attempt ended; a second end changes nothing."""
    db.execute(END, (outcome, now, error, tail, job_id, n))


def started_at(db: sqlite3.Connection, *, job_id: int, n: int) -> UnixMs | None:
    """When one start of a job was."""
    row = db.execute("SELECT started_at FROM attempts WHERE job_id = ? AND n = ?", (job_id, n)).fetchone()
    return UnixMs(row[0]) if row else None


def of_job(db: sqlite3.Connection, job_id: int) -> list[Attempt]:
    """All attempts of a job, oldest first."""
    rows = db.execute(f"SELECT {', '.join(COLUMNS)} FROM attempts WHERE job_id = ? ORDER BY n", (job_id,))  # noqa: S608 - our own constants
    return [attempt_of(row) for row in rows]


def attempt_of(row: Sequence[Any]) -> Attempt:
    """The value of one row selected as `COLUMNS`."""
    return Attempt(
        n=row[0],
        runner=row[1],
        started_at=row[2],
        ended_at=row[3],
        outcome=Outcome(row[4]) if row[4] else None,
        error=row[5],
        tail=row[6],
        cost=row[7],
    )
