"""Schedules and their slots: one row for every due time that was dealt with. Runs in the caller's transaction."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from runner.units import DAY_MS, UnixMs

KEEP = 2_000
"""Slots of each schedule that are kept whatever their age."""
RECENT_MS = 2 * DAY_MS
"""Slots younger than this are all kept: a clock that is set back meets them again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One schedule as the last runner declared it."""

    name: str
    """Of its task."""
    spec: str
    since: UnixMs
    """No slot before this was ever owed. Later than now when a clock that was ahead wrote it."""
    next_at: UnixMs | None
    """None: nothing more to come."""
    last_slot: UnixMs | None
    """The newest due time up to now that was dealt with, fired or skipped."""
    priority: int
    """Of its jobs, as is the next."""
    max_attempts: int


def declare(
    db: sqlite3.Connection, *, name: str, spec: str, now: UnixMs, priority: int = 0, max_attempts: int = 4
) -> None:
    """Write a schedule down; one whose declaration changed starts anew and owes nothing of the past."""
    db.execute(
        "INSERT INTO schedules (name, spec, since, priority, max_attempts) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET since = iif(spec = excluded.spec, since, excluded.since), spec = excluded.spec, "
        "priority = excluded.priority, max_attempts = excluded.max_attempts",
        (name, spec, now, priority, max_attempts),
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
    """Deal with one due time, once; False when it was dealt with before. Only `forget_ahead` takes a skip back."""
    return bool(
        db.execute(
            "INSERT INTO slots (schedule, due_at, at, job_key, skipped) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (schedule, due_at, now, job_key, skipped),
        ).rowcount
    )


def all_of(db: sqlite3.Connection, *, now: UnixMs) -> list[Schedule]:
    """Every declared schedule by name."""
    rows = db.execute(
        "SELECT name, spec, since, next_at, (SELECT max(due_at) FROM slots WHERE schedule = name AND due_at <= ?), "
        "priority, max_attempts FROM schedules ORDER BY name",
        (now,),
    )
    return [
        Schedule(
            name=row[0],
            spec=row[1],
            since=row[2],
            next_at=row[3],
            last_slot=row[4],
            priority=row[5],
            max_attempts=row[6],
        )
        for row in rows
    ]


def get(db: sqlite3.Connection, name: str, *, now: UnixMs) -> Schedule | None:
    """One schedule."""
    return next((schedule for schedule in all_of(db, now=now) if schedule.name == name), None)


def forget_ahead(db: sqlite3.Connection, *, name: str, now: UnixMs) -> None:
    """Take back what a clock that was ahead did: a start in the future is now, and slots it skipped come due again.

    Slots that became a job stay, whenever they are due: they must not fire twice.
    """
    db.execute("UPDATE schedules SET since = ? WHERE name = ? AND since > ?", (now, name, now))
    db.execute("DELETE FROM slots WHERE schedule = ? AND due_at > ? AND job_key IS NULL", (name, now))


def last_slot(db: sqlite3.Connection, name: str, *, now: UnixMs) -> UnixMs | None:
    """The newest due time up to now that was dealt with, fired or skipped."""
    row = db.execute("SELECT max(due_at) FROM slots WHERE schedule = ? AND due_at <= ?", (name, now)).fetchone()
    return UnixMs(row[0]) if row[0] is not None else None


def last_jobs(db: sqlite3.Connection, name: str, *, now: UnixMs) -> list[str]:
    """The key of the job that the newest fired slot became, and of those that a clock fired that was ahead."""
    rows = db.execute(
        "SELECT job_key FROM slots WHERE schedule = :name AND job_key IS NOT NULL AND due_at >= coalesce(("
        "SELECT max(due_at) FROM slots WHERE schedule = :name AND job_key IS NOT NULL AND due_at <= :now), 0) "
        "ORDER BY due_at",
        {"name": name, "now": now},
    )
    return [row[0] for row in rows]


def prune(db: sqlite3.Connection, *, now: UnixMs, keep: int = KEEP, batch: int) -> int:
    """Delete the oldest slots beyond the newest `keep` of their schedule, at most `batch`; how many went.

    None that keeps another from firing goes: not the newest, not the newest that fired, nothing ahead of the clock.
    """
    gone = 0
    name = _next_name(db, "")
    while name is not None and gone < batch:
        gone += db.execute(
            """
            DELETE FROM slots WHERE schedule = :name AND due_at IN (
                SELECT due_at FROM slots WHERE schedule = :name AND due_at < min(
                    :recent,
                    coalesce((SELECT due_at FROM slots WHERE schedule = :name AND due_at <= :now
                               ORDER BY due_at DESC LIMIT 1 OFFSET :others), 0),
                    coalesce((SELECT max(due_at) FROM slots
                               WHERE schedule = :name AND due_at <= :now AND job_key IS NOT NULL), :now))
                 ORDER BY due_at LIMIT :most)
            """,
            {"name": name, "recent": now - RECENT_MS, "now": now, "others": keep - 1, "most": batch - gone},
        ).rowcount
        name = _next_name(db, name)
    return gone


def _next_name(db: sqlite3.Connection, name: str) -> str | None:
    """One seek, where DISTINCT would read every slot."""
    row = db.execute("SELECT min(schedule) FROM slots WHERE schedule > ?", (name,)).fetchone()
    return None if row[0] is None else str(row[0])
