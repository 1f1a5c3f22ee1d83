"""Schedules and their slots: one row for every due time that was dealt with. Runs in the caller's transaction."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from runner.units import UnixMs


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One schedule as the last runner declared it."""

    name: str
    """Of its task."""
    spec: str
    since: UnixMs
    """No slot before this was ever owed."""
    next_at: UnixMs | None
    """None: nothing more to come."""
    last_slot: UnixMs | None
    """The newest due time that was dealt with, fired or skipped."""


def declare(db: sqlite3.Connection, *, name: str, spec: str, now: UnixMs) -> None:
    """Write a schedule down; one whose declaration changed starts anew and owes nothing of the past."""
    db.execute(
        "INSERT INTO schedules (name, spec, since) VALUES (?, ?, ?) ON CONFLICT DO UPDATE "
        "SET since = iif(spec = excluded.spec, since, excluded.since), spec = excluded.spec",
        (name, spec, now),
    )


def forget_others(db: sqlite3.Connection, names: list[str]) -> None:
    """Drop schedules that are declared no more; their slots stay."""
    marks = ", ".join("?" * len(names))
    db.execute(f"DELETE FROM schedules WHERE name NOT IN ({marks})", names)  # noqa: S608 - marks only


def set_next(db: sqlite3.Connection, *, name: str, at: UnixMs | None) -> None:
    """Say when the schedule fires next."""
    db.execute("UPDATE schedules SET next_at = ? WHERE name = ? AND next_at IS NOT ?", (at, name, at))


def take_slot(
    db: sqlite3.Connection,
    *,
    schedule: str,
    due_at: UnixMs,
    now: UnixMs,
    job_key: str | None = None,
    skipped: str | None = None,
) -> bool:
    """Deal with one due time, once and for ever; False when it was dealt with before."""
    return bool(
        db.execute(
            "INSERT INTO slots (schedule, due_at, at, job_key, skipped) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (schedule, due_at, now, job_key, skipped),
        ).rowcount
    )


def all_of(db: sqlite3.Connection) -> list[Schedule]:
    """Every declared schedule by name."""
    rows = db.execute(
        "SELECT name, spec, since, next_at, (SELECT max(due_at) FROM slots WHERE schedule = name) "
        "FROM schedules ORDER BY name"
    )
    return [Schedule(name=row[0], spec=row[1], since=row[2], next_at=row[3], last_slot=row[4]) for row in rows]


def get(db: sqlite3.Connection, name: str) -> Schedule | None:
    """One schedule."""
    return next((schedule for schedule in all_of(db) if schedule.name == name), None)


def last_job(db: sqlite3.Connection, name: str) -> str | None:
    """The key of the job that the newest fired slot became."""
    row = db.execute(
        "SELECT job_key FROM slots WHERE schedule = ? AND job_key IS NOT NULL ORDER BY due_at DESC LIMIT 1", (name,)
    ).fetchone()
    return row[0] if row else None
