"""The calls of the last minute to an upstream whose rate has a limit. Runs in the caller's transaction."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from runner.units import MINUTE_MS, UnixMs

SPAN_MS = MINUTE_MS
"""What counts: any 60 seconds, not those of a clock's minute, for a burst at its turn would be twice the limit."""

_FREED = """
SELECT at FROM (SELECT at, sum({unit}) OVER (ORDER BY at, charge) AS gone FROM rate_uses WHERE upstream = ?)
 WHERE gone >= ? ORDER BY at LIMIT 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What an upstream was given in the last minute."""

    requests: int
    tokens: int


def add(db: sqlite3.Connection, *, charge: int, upstream: str, tokens: int, now: UnixMs) -> None:
    """Count a call that is about to be sent."""
    db.execute(
        "INSERT INTO rate_uses (charge, upstream, at, tokens) VALUES (?, ?, ?, ?)", (charge, upstream, now, tokens)
    )


def told(db: sqlite3.Connection, charge: int, *, tokens: int) -> None:
    """Replace the bound of a call by what it used."""
    db.execute("UPDATE rate_uses SET tokens = ? WHERE charge = ?", (tokens, charge))


def used(db: sqlite3.Connection, upstream: str, *, now: UnixMs) -> Used:
    """What counts now. Deletes what does not any more, and what a clock that was ahead has left."""
    db.execute(
        "DELETE FROM rate_uses WHERE upstream = ? AND (at <= ? OR at > ?)", (upstream, now - SPAN_MS, now + SPAN_MS)
    )
    row = db.execute(
        "SELECT count(*), coalesce(sum(tokens), 0) FROM rate_uses WHERE upstream = ?", (upstream,)
    ).fetchone()
    return Used(requests=row[0], tokens=row[1])


def requests_freed_at(db: sqlite3.Connection, upstream: str, *, amount: int) -> UnixMs:
    """When the oldest `amount` of the requests that count are out of the minute; there are at least that many."""
    return _freed_at(db, "1", upstream, amount)


def tokens_freed_at(db: sqlite3.Connection, upstream: str, *, amount: int) -> UnixMs:
    """When calls with `amount` of the tokens that count are out of the minute; there are at least that many."""
    return _freed_at(db, "tokens", upstream, amount)


def _freed_at(db: sqlite3.Connection, unit: str, upstream: str, amount: int) -> UnixMs:
    (at,) = db.execute(_FREED.format(unit=unit), (upstream, amount)).fetchone()
    return UnixMs(at + SPAN_MS)
