"""The outbox: what somebody has to be told, written in the transaction of what it tells of.

One row an edge; its key names the edge, so that it is told once whoever reports it, and counted when it comes again.
Who was told what of it is in `tellings`. Runs in the caller's transaction.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from runner.units import DAY_MS, MINUTE_MS, UnixMs

FOLD_MS = 30 * MINUTE_MS
"""What comes again so soon after it was last there is the same storm, and counted rather than told anew."""
KEEP_MS = 90 * DAY_MS
"""How long what is over and known to everybody is kept."""

SETTLED, LAPSED, CLOSED = "settled", "lapsed", "closed"
"""How an alert ends: what it told of is over, which is told as well; its time is over; a person says so."""

_COLUMNS = "id, key, level, text, at, last_at, edge, times, closed_at, ending, end_text, delivered_at, owed"
_FRESH = "(owed = 0 AND (ending <> 'settled' OR :now - last_at >= :fold))"
_RAISE = f"""
INSERT INTO alerts (at, last_at, key, level, text, lapses_at) VALUES (:now, :now, :key, :level, :text, :lapses_at)
ON CONFLICT (key) DO UPDATE SET
       edge = edge + {_FRESH}, times = iif({_FRESH}, 1, times + 1), at = iif({_FRESH}, excluded.at, at),
       delivered_at = iif({_FRESH}, NULL, delivered_at), last_at = excluded.at, level = excluded.level,
       text = excluded.text, lapses_at = excluded.lapses_at, owed = 1, closed_at = NULL, ending = NULL, end_text = NULL
 WHERE closed_at IS NOT NULL
"""  # noqa: S608 - our own constant


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One edge."""

    id: int
    key: str
    level: str
    """As of an event."""
    text: str
    """Of the last time it came."""
    at: UnixMs
    """When it came first."""
    last_at: UnixMs
    edge: int
    """Goes up when it comes anew after a calm."""
    times: int
    """How often it came within this edge."""
    closed_at: UnixMs | None
    """None: it still holds."""
    ending: str | None
    """`SETTLED`, `LAPSED` or `CLOSED`; None: it still holds."""
    end_text: str | None
    """What is to be said of its end; None: nothing in particular."""
    delivered_at: UnixMs | None
    """When the last address had been told of it; None: not every one knows."""
    owed: bool
    """Some address is still to be told how it stands."""


def raise_alert(
    db: sqlite3.Connection,
    *,
    key: str,
    level: str,
    text: str,
    now: UnixMs,
    lapses_at: UnixMs | None = None,
    counted: bool = False,
) -> bool:
    """Tell of an edge; False when it was told before and still holds.

    A key that was closed may be raised again: it is told anew, or counted where it was there a moment ago.
    `level`: as of an event. `lapses_at`: when it stops holding by itself; None: somebody closes it.
    `counted`: while it holds, the same once more is one more, with its text; otherwise it changes nothing.
    """
    values = {"now": now, "key": key, "level": level, "text": text, "lapses_at": lapses_at, "fold": FOLD_MS}
    raised = bool(db.execute(_RAISE, values).rowcount)
    if counted and not raised:
        db.execute(
            "UPDATE alerts SET times = times + 1, last_at = ?, text = ?, owed = 1 WHERE key = ?", (now, text, key)
        )
    return raised


def close(db: sqlite3.Connection, *, key: str, now: UnixMs, ending: str = SETTLED, end_text: str | None = None) -> bool:
    """What it tells of holds no more; False when there is no open one. It is still delivered if it was not yet."""
    return bool(
        db.execute(
            "UPDATE alerts SET closed_at = ?, ending = ?, end_text = ?, owed = max(owed, ?) "
            "WHERE key = ? AND closed_at IS NULL",
            (now, ending, end_text, ending == SETTLED, key),
        ).rowcount
    )


def close_like(db: sqlite3.Connection, pattern: str, *, now: UnixMs) -> int:
    """A person dealt with all whose key is like a pattern; how many."""
    return db.execute(
        "UPDATE alerts SET closed_at = ?, ending = 'closed' WHERE closed_at IS NULL AND key LIKE ?", (now, pattern)
    ).rowcount


def lapse(db: sqlite3.Connection, *, now: UnixMs) -> int:
    """Close what ended by itself, as a cap's day does; how many."""
    return db.execute(
        "UPDATE alerts SET closed_at = ?, ending = 'lapsed' WHERE closed_at IS NULL AND lapses_at <= ?", (now, now)
    ).rowcount


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
    return sum(close(db, key=key, now=now, ending=LAPSED) for key in over)


# --- how they stand -----------------------------------------------------------------------------------------------


def counts(db: sqlite3.Connection) -> tuple[int, int]:
    """How many not everybody was told of yet, and how many tell of something that still holds."""
    undelivered = db.execute("SELECT count(*) FROM alerts WHERE owed = 1 AND delivered_at IS NULL").fetchone()[0]
    still_open = db.execute("SELECT count(*) FROM alerts WHERE closed_at IS NULL").fetchone()[0]
    return int(undelivered), int(still_open)


def untold_since(db: sqlite3.Connection) -> UnixMs | None:
    """When the oldest of those came that not everybody was told of yet."""
    row = db.execute("SELECT min(at) FROM alerts WHERE owed = 1 AND delivered_at IS NULL").fetchone()
    return UnixMs(row[0]) if row[0] is not None else None


def newest(db: sqlite3.Connection, *, limit: int, everything: bool = False) -> list[Alert]:
    """Those that hold, and those that not everybody was told of; with `everything` those that are over too."""
    where = "TRUE" if everything else "closed_at IS NULL OR owed = 1"
    rows = db.execute(f"SELECT {_COLUMNS} FROM alerts WHERE {where} ORDER BY last_at DESC, id DESC LIMIT ?", (limit,))  # noqa: S608
    return [alert_of(row) for row in rows]


def by_key(db: sqlite3.Connection, key: str) -> Alert | None:
    """The alert of a key, if it was ever raised and is still kept."""
    row = db.execute(f"SELECT {_COLUMNS} FROM alerts WHERE key = ?", (key,)).fetchone()  # noqa: S608
    return alert_of(row) if row else None


def open_keys(db: sqlite3.Connection, prefix: str) -> list[str]:
    """Keys that begin so, of alerts that hold."""
    rows = db.execute(
        "SELECT key FROM alerts WHERE closed_at IS NULL AND substr(key, 1, ?) = ? ORDER BY id", (len(prefix), prefix)
    )
    return [row[0] for row in rows]


# --- telling ------------------------------------------------------------------------------------------------------


def outbox(db: sqlite3.Connection) -> tuple[int | None, ...]:
    """A value that differs whenever somebody may have to be told of something new."""
    return tuple(
        db.execute(
            "SELECT count(*), max(id), max(last_at), max(closed_at), sum(times) FROM alerts WHERE owed = 1"
        ).fetchone()
    )


def owed(db: sqlite3.Connection, *, limit: int) -> list[Alert]:
    """The newest that some address is to be told of, the oldest of them first."""
    rows = db.execute(f"SELECT {_COLUMNS} FROM alerts WHERE owed = 1 ORDER BY id DESC LIMIT ?", (limit,)).fetchall()  # noqa: S608
    return [alert_of(row) for row in reversed(rows)]


def known(db: sqlite3.Connection, alert: Alert) -> None:
    """Nobody is owed anything more of it, unless it moved on since it was read."""
    db.execute(
        "UPDATE alerts SET owed = 0 WHERE id = ? AND edge = ? AND times = ? AND closed_at IS ?",
        (alert.id, alert.edge, alert.times, alert.closed_at),
    )


def delivered(db: sqlite3.Connection, alert: Alert, *, now: UnixMs) -> None:
    """Every address was told of it, if not yet how it stands."""
    db.execute(
        "UPDATE alerts SET delivered_at = ? WHERE id = ? AND edge = ? AND delivered_at IS NULL",
        (now, alert.id, alert.edge),
    )


def forget_over(db: sqlite3.Connection) -> None:
    """Owe nobody anything of what is over: there is no address that could be told."""
    db.execute("UPDATE alerts SET owed = 0 WHERE owed = 1 AND closed_at IS NOT NULL")


def prune(db: sqlite3.Connection, *, now: UnixMs, batch: int = 200) -> int:
    """Delete what has long been over and is known to everybody; how many went."""
    return db.execute(
        "DELETE FROM alerts WHERE id IN (SELECT id FROM alerts WHERE closed_at < ? AND owed = 0 LIMIT ?)",
        (now - KEEP_MS, batch),
    ).rowcount


def too_old(db: sqlite3.Connection, *, now: UnixMs) -> int:
    """How many `prune` would delete."""
    found = db.execute("SELECT count(*) FROM alerts WHERE closed_at < ? AND owed = 0", (now - KEEP_MS,)).fetchone()
    return int(found[0])


def alert_of(
    row: tuple[int, str, str, str, int, int, int, int, int | None, str | None, str | None, int | None, int],
) -> Alert:
    """The value of one row."""
    return Alert(
        id=row[0],
        key=row[1],
        level=row[2],
        text=row[3],
        at=UnixMs(row[4]),
        last_at=UnixMs(row[5]),
        edge=row[6],
        times=row[7],
        closed_at=UnixMs(row[8]) if row[8] is not None else None,
        ending=row[9],
        end_text=row[10],
        delivered_at=UnixMs(row[11]) if row[11] is not None else None,
        owed=bool(row[12]),
    )
