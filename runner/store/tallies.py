"""What became of the calls of each breaker, second by second, for rates over time. Runs in the caller's transaction.

Bounded: a note deletes what no window of its name looks back to any more, and upkeep all of names long out of use.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from runner.units import HOUR_MS, SECOND_MS, UnixMs

KEEP_NAMES = 500
"""Clients choose the names of models, and a local upstream may answer to any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Calls that said something of their upstream."""

    calls: int = 0
    failures: int = 0


def note(
    db: sqlite3.Connection,
    name: str,
    *,
    now: UnixMs,
    keep_ms: int,
    calls: int = 0,
    failures: int = 0,
    spent: int = 0,
) -> None:
    """Count what a call came to. `keep_ms`: how far any window looks back."""
    second = now // SECOND_MS
    db.execute(
        "INSERT INTO tallies (name, second, calls, failures, spent) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
        "calls = calls + excluded.calls, failures = failures + excluded.failures, spent = spent + excluded.spent",
        (name, second, calls, failures, spent),
    )
    db.execute("DELETE FROM tallies WHERE name = ? AND second < ?", (name, second - keep_ms // SECOND_MS))


def of(db: sqlite3.Connection, name: str, *, window_ms: int, now: UnixMs) -> Tally:
    """What counts in a window that ends now."""
    row = db.execute(
        "SELECT coalesce(sum(calls), 0), coalesce(sum(failures), 0) FROM tallies "
        "WHERE name = ? AND second > ? AND second <= ?",
        (name, *_window(now, window_ms)),
    ).fetchone()
    return Tally(calls=row[0], failures=row[1])


NAMES = """
WITH RECURSIVE found (name) AS (
    SELECT min(name) FROM tallies
    UNION ALL SELECT (SELECT min(name) FROM tallies WHERE name > found.name) FROM found WHERE found.name IS NOT NULL
)
SELECT name FROM found WHERE name IS NOT NULL
"""


def names(db: sqlite3.Connection) -> list[str]:
    """All that were counted for and not forgotten since."""
    return [row[0] for row in db.execute(NAMES)]


def spent(db: sqlite3.Connection, *, window_ms: int, now: UnixMs) -> dict[str, int]:
    """What each name cost in a window that ends now, the dearest first; without those that cost nothing."""
    rows = db.execute(
        "SELECT name, sum(spent) AS cost FROM tallies WHERE second > ? AND second <= ? GROUP BY name "
        "HAVING cost > 0 ORDER BY cost DESC, name",
        _window(now, window_ms),
    )
    return dict(rows.fetchall())


def forget_calls(db: sqlite3.Connection, name: str) -> None:
    """Begin the rate of failures anew; what was spent goes on counting."""
    db.execute("UPDATE tallies SET calls = 0, failures = 0 WHERE name = ?", (name,))


def forget(db: sqlite3.Connection, name: str) -> None:
    """Begin everything anew, as a person closed the breaker."""
    db.execute("DELETE FROM tallies WHERE name = ?", (name,))


def prune(db: sqlite3.Connection, *, now: UnixMs) -> int:
    """Forget the names that were out of use longest, beyond `KEEP_NAMES`, but none of the last hour; rows deleted."""
    return db.execute(
        "DELETE FROM tallies WHERE name IN (SELECT name FROM tallies GROUP BY name HAVING max(second) < ? "
        "ORDER BY max(second) DESC LIMIT -1 OFFSET ?)",
        ((now - HOUR_MS) // SECOND_MS, KEEP_NAMES),
    ).rowcount


def _window(now: UnixMs, window_ms: int) -> tuple[int, int]:
    # Seconds that a clock set back has left in its future count for nothing, or they would for as long as it was.
    return (now - window_ms) // SECOND_MS, now // SECOND_MS
