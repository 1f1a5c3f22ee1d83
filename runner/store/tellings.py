"""What each address was told of each alert. Runs in the caller's transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass

from runner.units import UnixMs


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """The last that an address heard of an alert."""

    edge: int
    """Of the alert; a newer one is news to this address."""
    times: int
    over: bool
    """Also that it is over."""
    messages: int
    """How many there were about this edge."""
    at: UnixMs
    """Of the last one."""


def of_alert(db: sqlite3.Connection, alert: int) -> dict[str, Telling]:
    """By address."""
    rows = db.execute("SELECT address, edge, times, over, messages, at FROM tellings WHERE alert = ?", (alert,))
    return {
        row[0]: Telling(edge=row[1], times=row[2], over=bool(row[3]), messages=row[4], at=UnixMs(row[5]))
        for row in rows
    }


def note(db: sqlite3.Connection, alert: int, address: str, *, edge: int, times: int, over: bool, now: UnixMs) -> None:
    """It was told so much of that edge, with one message more."""
    db.execute(
        "INSERT INTO tellings (alert, address, edge, times, over, messages, at) VALUES (?, ?, ?, ?, ?, 1, ?) "
        "ON CONFLICT DO UPDATE SET messages = iif(edge = excluded.edge, messages + 1, 1), edge = excluded.edge, "
        "times = excluded.times, over = excluded.over, at = excluded.at",
        (alert, address, edge, times, over, now),
    )


def keep(db: sqlite3.Connection, names: Collection[str]) -> None:
    """Forget what addresses heard that are there no more."""
    marks = ", ".join("?" * len(names))
    db.execute(f"DELETE FROM tellings WHERE address NOT IN ({marks})", (*names,))  # noqa: S608 - marks only
