"""What happened, as rows a console can tail. Bounded; runs in the caller's transaction."""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass

from runner.store.rows import filler
from runner.units import UnixMs

INFO, WARN, ERROR = "info", "warn", "error"
KEEP = 50_000
"""Rows kept; older ones are in the rotated log files."""
TEXT_LIMIT = 2_000
"""Characters of one event's text."""

RECORD = "INSERT INTO events (at, level, event, task, job, attempt, text) VALUES (?, ?, ?, ?, ?, ?, ?)"
_SELECT = "SELECT id, at, level, event, task, job, attempt, text FROM events"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened."""

    id: int
    at: UnixMs
    level: str
    event: str
    """A stable word such as `job.dead` or `stop.set`."""
    task: str | None
    job: str | None
    """Its key."""
    attempt: int | None
    text: str


def record(
    db: sqlite3.Connection,
    *,
    now: UnixMs,
    level: str,
    event: str,
    text: str,
    task: str | None = None,
    job: str | None = None,
    attempt: int | None = None,
) -> None:
    """Add one event. The text must be free of secrets already."""
    db.execute(RECORD, (now, level, event, task, job, attempt, text[:TEXT_LIMIT]))


def after(
    db: sqlite3.Connection,
    id: int,
    *,
    limit: int,
    levels: tuple[str, ...] = (INFO, WARN, ERROR),
    job: str | None = None,
    text: str | None = None,
) -> list[Event]:
    """Events newer than `id` that `newest` would give, oldest first."""
    where, values = _wanted(levels, job, text)
    rows = db.execute(f"{_SELECT} WHERE id > ?{where} ORDER BY id LIMIT ?", (id, *values, limit))
    return [_event(row) for row in rows]


def newest(
    db: sqlite3.Connection,
    *,
    limit: int,
    levels: tuple[str, ...] = (INFO, WARN, ERROR),
    job: str | None = None,
    before: int | None = None,
    text: str | None = None,
) -> list[Event]:
    """The last events of these levels, oldest first.

    `job`: only of this one. `before`: only older than this id. `text`: only those with it in what is shown of
    them, a to z being A to Z. What looks for a rare kind looks through the table, which `prune` keeps short.
    """
    where, values = _wanted(levels, job, text)
    upto = "id < ?" if before is not None else "TRUE"
    given = (before,) if before is not None else ()
    rows = db.execute(f"{_SELECT} WHERE {upto}{where} ORDER BY id DESC LIMIT ?", (*given, *values, limit)).fetchall()
    return [_event(row) for row in reversed(rows)]


def prune(db: sqlite3.Connection, *, keep: int = KEEP, batch: int = 500) -> int:
    """Delete the oldest rows beyond `keep`, at most `batch`; how many went."""
    return db.execute(
        "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE id <= (SELECT max(id) FROM events) - ? LIMIT ?)",
        (keep, batch),
    ).rowcount


def too_many(db: sqlite3.Connection, *, keep: int = KEEP) -> int:
    """How many `prune` would delete in all."""
    row = db.execute("SELECT count(*) FROM events WHERE id <= (SELECT max(id) FROM events) - ?", (keep,)).fetchone()
    return int(row[0])


def _wanted(levels: tuple[str, ...], job: str | None, text: str | None) -> tuple[str, list[str]]:
    """The conditions, each with `AND` before it, and what they are given."""
    where, values = "", list[str]()
    if set(levels) != {INFO, WARN, ERROR}:
        where += f" AND level IN ({', '.join('?' * len(levels))})"
        values += levels
    if job is not None:
        where += " AND job = ?"
        values.append(job)
    if text is not None:
        part = re.sub(r"([\\%_])", r"\\\1", text)
        columns = ("text", "job", "task", "event")
        where += " AND (" + " OR ".join(f"{column} LIKE ? ESCAPE '\\'" for column in columns) + ")"
        values += [f"%{part}%"] * len(columns)
    return where, values


_event = filler(Event)
