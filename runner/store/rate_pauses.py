"""What an upstream asked us to wait for: a row until it lifts, whoever restarts. Runs in the caller's transaction."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from runner.units import UnixMs


@dataclass(frozen=True, slots=True, kw_only=True)
class RatePause:
    """No call of that name leaves before `until`."""

    name: str
    """`upstream/model`, or an upstream alone."""
    until: UnixMs
    reason: str
    at: UnixMs


def pause(db: sqlite3.Connection, name: str, *, until: UnixMs, reason: str, now: UnixMs) -> bool:
    """Hold calls of a name back; False when they are held back as long already, and nothing changed."""
    return bool(
        db.execute(
            "INSERT INTO rate_pauses (name, until, reason, at) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
            "until = excluded.until, reason = excluded.reason, at = excluded.at WHERE excluded.until > until",
            (name, until, reason, now),
        ).rowcount
    )


def holding(db: sqlite3.Connection, *names: str, now: UnixMs) -> RatePause | None:
    """Of the pauses of these names the one that lifts last; None when none is in force."""
    marks = ", ".join("?" * len(names))
    row = db.execute(
        f"SELECT name, until, reason, at FROM rate_pauses WHERE name IN ({marks}) AND until > ? "  # noqa: S608 - marks only
        "ORDER BY until DESC LIMIT 1",
        (*names, now),
    ).fetchone()
    return _pause(row) if row else None


def all_of(db: sqlite3.Connection, *, now: UnixMs) -> list[RatePause]:
    """Every pause in force."""
    rows = db.execute("SELECT name, until, reason, at FROM rate_pauses WHERE until > ? ORDER BY name", (now,))
    return [_pause(row) for row in rows]


def lift(db: sqlite3.Connection, name: str) -> bool:
    """Wait no longer; False when there was no pause of that name."""
    return bool(db.execute("DELETE FROM rate_pauses WHERE name = ?", (name,)).rowcount)


def prune(db: sqlite3.Connection, *, now: UnixMs) -> None:
    """Forget what lifted by itself."""
    db.execute("DELETE FROM rate_pauses WHERE until <= ?", (now,))


def _pause(row: tuple[str, int, str, int]) -> RatePause:
    return RatePause(name=row[0], until=UnixMs(row[1]), reason=row[2], at=UnixMs(row[3]))
