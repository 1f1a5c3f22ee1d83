"""The outbox: an edge is told once, and what it tells of has an end."""

from __future__ import annotations

import sqlite3

from runner.store import alerts
from runner.units import HOUR_MS, UnixMs
from tests.factories import NOW

LATER = UnixMs(NOW + HOUR_MS)


def tell(
    db: sqlite3.Connection, text: str = "it is open", *, now: UnixMs = NOW, lapses_at: UnixMs | None = None
) -> bool:
    return alerts.raise_alert(db, key="breaker:house", level="warn", text=text, now=now, lapses_at=lapses_at)


def test_an_edge_is_told_once(db: sqlite3.Connection) -> None:
    assert tell(db)
    assert not tell(db, "it is open, still", now=LATER)

    assert db.execute("SELECT at, text FROM alerts").fetchall() == [(NOW, "it is open")]
    assert alerts.counts(db) == (1, 1)


def test_what_was_closed_and_comes_again_is_a_new_edge(db: sqlite3.Connection) -> None:
    """Also for somebody who was told of the first."""
    tell(db)
    db.execute("UPDATE alerts SET delivered_at = ?", (NOW,))

    assert alerts.close(db, key="breaker:house", now=NOW)
    assert alerts.counts(db) == (0, 0)
    assert not alerts.close(db, key="breaker:house", now=LATER)
    assert tell(db, "it is open again", now=LATER)

    assert db.execute("SELECT at, text FROM alerts").fetchall() == [(LATER, "it is open again")]
    assert alerts.counts(db) == (1, 1)


def test_one_that_lapsed_is_delivered_all_the_same(db: sqlite3.Connection) -> None:
    tell(db, lapses_at=LATER)

    assert alerts.lapse(db, now=UnixMs(LATER - 1)) == 0
    assert alerts.lapse(db, now=LATER) == 1

    assert alerts.counts(db) == (1, 0)
