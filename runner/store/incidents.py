"""What went wrong, until a person has written down why and what was done. Runs in the caller's transaction.

An alert opens one; while it is open, further alerts of its subject add to it. When what it tells of is over, a trigger
notes the time; only a person closes it. Nothing is deleted while it is open, and what was written keeps its words.
"""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass

from runner.units import DAY_MS, UnixMs

OPENING = ("warn", "error")
"""Levels of alerts that open one."""
KEEP_MS = 400 * DAY_MS
"""How long a closed one is kept."""
TEXT_LIMIT = 2_000
"""Characters of an alert's text, of a note, of a cause and of a fix."""

# An alert is told once a day, an hour or a runner, so its key names which; the trouble behind it is the same one.
_CAP_PERIOD = re.compile(r"(cap:.+?):\d{4}-\d{2}(-\d{2}(T\d{2})?)?(:alone)?:\d+")
_BY_RUNNER = re.compile(r"(orphans):.*", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One thing that went wrong."""

    id: int
    subject: str
    """Of one subject only one is open at a time."""
    alert_key: str
    """Of its newest alert."""
    level: str
    """The worst so far."""
    text: str
    """Of the alert that opened it."""
    last_text: str
    """Of the newest."""
    opened_at: UnixMs
    last_at: UnixMs
    alerts: int
    """How often it was told of."""
    settled_at: UnixMs | None
    """When it was over; None: it still holds."""
    closed_at: UnixMs | None
    closed_by: str | None
    cause: str | None
    fix: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What somebody wrote down about one."""

    id: int
    incident: int
    at: UnixMs
    by: str
    text: str


_COLUMNS = (
    "id, subject, alert_key, level, text, last_text, opened_at, last_at, alerts, settled_at, closed_at, closed_by, "
    "cause, fix"
)


def subject_of(alert_key: str) -> str:
    """What an alert is about, whichever day, level or runner it tells of: `cap:day` of `cap:day:2027-01-31:80`."""
    match = _CAP_PERIOD.fullmatch(alert_key) or _BY_RUNNER.fullmatch(alert_key)
    return match[1] if match else alert_key


def open(db: sqlite3.Connection, *, alert_key: str, text: str, level: str, now: UnixMs) -> int | None:
    """A new edge: open an incident, or add to the open one of its subject; its id.

    None: an alert of this level opens none.
    """
    if level not in OPENING:
        return None
    row = db.execute(
        "INSERT INTO incidents (subject, alert_key, level, text, last_text, opened_at, last_at) "
        "VALUES (:subject, :key, :level, :text, :text, :now, :now) "
        "ON CONFLICT (subject) WHERE closed_at IS NULL DO UPDATE SET alert_key = excluded.alert_key, "
        "level = iif(excluded.level = 'error', 'error', level), last_text = excluded.last_text, "
        "last_at = max(last_at, excluded.last_at), alerts = alerts + 1, settled_at = NULL RETURNING id",
        {"subject": subject_of(alert_key), "key": alert_key, "level": level, "text": text[:TEXT_LIMIT], "now": now},
    ).fetchone()
    return int(row[0])


def again(db: sqlite3.Connection, *, alert_key: str, text: str, now: UnixMs) -> bool:
    """What was told before was told once more: it counts for an open one, and opens none that a person has closed."""
    return bool(
        db.execute(
            "UPDATE incidents SET last_text = ?, last_at = max(last_at, ?), alerts = alerts + 1 "
            "WHERE subject = ? AND closed_at IS NULL",
            (text[:TEXT_LIMIT], now, subject_of(alert_key)),
        ).rowcount
    )


def note(db: sqlite3.Connection, id: int, *, text: str, by: str, now: UnixMs) -> int:
    """Add to the journal of one; the note's id."""
    row = db.execute(
        "INSERT INTO incident_notes (incident, at, by, text) VALUES (?, ?, ?, ?) RETURNING id",
        (id, now, by, text[:TEXT_LIMIT]),
    ).fetchone()
    return int(row[0])


def close(db: sqlite3.Connection, id: int, *, cause: str, fix: str, by: str, now: UnixMs) -> bool:
    """Close one for good; False, and nothing changes, when it is closed or there is none."""
    return bool(
        db.execute(
            "UPDATE incidents SET closed_at = ?, closed_by = ?, cause = ?, fix = ? WHERE id = ? AND closed_at IS NULL",
            (now, by, cause[:TEXT_LIMIT], fix[:TEXT_LIMIT], id),
        ).rowcount
    )


def get(db: sqlite3.Connection, id: int) -> Incident | None:
    """One incident."""
    row = db.execute(f"SELECT {_COLUMNS} FROM incidents WHERE id = ?", (id,)).fetchone()  # noqa: S608 - our own constant
    return _incident(row) if row else None


STILL_OPEN = f"SELECT {_COLUMNS} FROM incidents WHERE closed_at IS NULL ORDER BY opened_at DESC, id DESC LIMIT ?"  # noqa: S608
NEWEST = f"SELECT {_COLUMNS} FROM incidents ORDER BY opened_at DESC, id DESC LIMIT ?"  # noqa: S608
OF_TIME = f"""
SELECT {_COLUMNS} FROM incidents WHERE opened_at >= ? AND opened_at < ? AND closed_at IS NOT NULL
 ORDER BY opened_at DESC, id DESC LIMIT ?
"""  # noqa: S608


def still_open(db: sqlite3.Connection, *, limit: int) -> list[Incident]:
    """Those nobody has closed, the newest first."""
    return [_incident(row) for row in db.execute(STILL_OPEN, (limit,))]


def newest(db: sqlite3.Connection, *, limit: int) -> list[Incident]:
    """Closed ones among them."""
    return [_incident(row) for row in db.execute(NEWEST, (limit,))]


def closed_of(db: sqlite3.Connection, *, since: UnixMs, until: UnixMs, limit: int) -> list[Incident]:
    """Those opened in a time that were closed since."""
    return [_incident(row) for row in db.execute(OF_TIME, (since, until, limit))]


def number_open(db: sqlite3.Connection) -> int:
    """How many wait for a cause and a fix."""
    return int(db.execute("SELECT count(*) FROM incidents WHERE closed_at IS NULL").fetchone()[0])


def notes(db: sqlite3.Connection, id: int) -> list[Note]:
    """The journal of one, oldest first."""
    rows = db.execute("SELECT id, incident, at, by, text FROM incident_notes WHERE incident = ? ORDER BY id", (id,))
    return [Note(id=row[0], incident=row[1], at=UnixMs(row[2]), by=row[3], text=row[4]) for row in rows]


def prune(db: sqlite3.Connection, *, now: UnixMs, batch: int) -> int:
    """Forget what was closed long ago, with its notes, at most `batch`; how many went."""
    return db.execute(
        "DELETE FROM incidents WHERE id IN (SELECT id FROM incidents WHERE opened_at < :before "
        "AND closed_at < :before ORDER BY opened_at LIMIT :batch)",
        {"before": now - KEEP_MS, "batch": batch},
    ).rowcount


def too_old(db: sqlite3.Connection, *, now: UnixMs) -> int:
    """How many `prune` would forget."""
    found = db.execute(
        "SELECT count(*) FROM incidents WHERE opened_at < :before AND closed_at < :before", {"before": now - KEEP_MS}
    ).fetchone()
    return int(found[0])


def _incident(row: tuple[object, ...]) -> Incident:
    return Incident(**dict(zip(Incident.__dataclass_fields__, row, strict=True)))  # type: ignore[arg-type]
