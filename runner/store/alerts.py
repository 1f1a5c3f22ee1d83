"""The outbox: what somebody has to be told, written in the transaction of what it tells of.

One row an edge; its key names the edge, so that it is told once whoever reports it. Runs in the caller's transaction.
"""

from __future__ import annotations

import sqlite3

from runner.units import UnixMs


def raise_alert(
    db: sqlite3.Connection, *, key: str, level: str, text: str, now: UnixMs, lapses_at: UnixMs | None = None
) -> bool:
    """Tell of an edge; False when it was told before and still holds, and nothing changed.

    A key that was closed may be raised again: it is a new edge and is told anew.
    `level`: as of an event. `lapses_at`: when it stops holding by itself; None: somebody closes it.
    """
    return bool(
        db.execute(
            "INSERT INTO alerts (at, key, level, text, lapses_at) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (key) DO UPDATE SET at = excluded.at, level = excluded.level, text = excluded.text, "
            "lapses_at = excluded.lapses_at, delivered_at = NULL, closed_at = NULL WHERE closed_at IS NOT NULL",
            (now, key, level, text, lapses_at),
        ).rowcount
    )


def close(db: sqlite3.Connection, *, key: str, now: UnixMs) -> bool:
    """What it tells of holds no more; False when there is no open one. It is still delivered if it was not yet."""
    return bool(db.execute("UPDATE alerts SET closed_at = ? WHERE key = ? AND closed_at IS NULL", (now, key)).rowcount)


def close_like(db: sqlite3.Connection, pattern: str, *, now: UnixMs) -> int:
    """Close all whose key is like a pattern; how many."""
    return db.execute("UPDATE alerts SET closed_at = ? WHERE closed_at IS NULL AND key LIKE ?", (now, pattern)).rowcount


def lapse(db: sqlite3.Connection, *, now: UnixMs) -> int:
    """Close what ended by itself, as a cap's day does; how many."""
    return db.execute("UPDATE alerts SET closed_at = ? WHERE closed_at IS NULL AND lapses_at <= ?", (now, now)).rowcount


def counts(db: sqlite3.Connection) -> tuple[int, int]:
    """How many nobody was told of yet, and how many tell of something that still holds."""
    undelivered = db.execute("SELECT count(*) FROM alerts WHERE delivered_at IS NULL").fetchone()[0]
    still_open = db.execute("SELECT count(*) FROM alerts WHERE closed_at IS NULL").fetchone()[0]
    return int(undelivered), int(still_open)


def cap_key(cap: str, period: str, level: int) -> str:
    """The key of a cap that is used up to `level` percent: `cap:day:2027-01-31:80`."""
    return f"cap:{cap}:{period}:{level}"


def rearm_cap(db: sqlite3.Connection, cap: str, period: str, *, below: int, now: UnixMs) -> int:
    """Close the levels of a cap that hold no more, those over `below` percent: they may be told again; how many."""
    rows = db.execute(
        "SELECT key FROM alerts WHERE closed_at IS NULL AND key LIKE 'cap:%' AND substr(key, 1, ?) = ?",
        (len(prefix := cap_key(cap, period, 0)[:-1]), prefix),
    ).fetchall()
    over = [key for (key,) in rows if int(key.rsplit(":", 1)[1]) > below]
    return sum(close(db, key=key, now=now) for key in over)
