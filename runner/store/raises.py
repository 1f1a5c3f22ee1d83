"""The day's cap as a person raised it: until midnight of its day, with who and why. Rows are never changed.

The last of a day counts, which may be lower than one before it.

Runs in the caller's transaction.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from runner.units import MicroUsd, UnixMs


@dataclass(frozen=True, slots=True, kw_only=True)
class Raise:
    """One decision to spend more on one day."""

    day: str
    """Of the cap's zone; it ends with it."""
    cap: MicroUsd
    """The day's cap from then on."""
    reason: str
    by: str
    at: UnixMs


def add(db: sqlite3.Connection, new: Raise) -> None:
    """Raise the cap of a day, or take some of that back. From the commit on the very next call is admitted under it."""
    db.execute(
        "INSERT INTO raises (day, cap, reason, by, at) VALUES (?, ?, ?, ?, ?)",
        (new.day, new.cap, new.reason, new.by, new.at),
    )


def standing(db: sqlite3.Connection, day: str, *, over: MicroUsd) -> Raise | None:
    """The raise that sets a day's cap; None: the configured cap, `over`, is not below the last of that day."""
    row = db.execute(
        "SELECT day, cap, reason, by, at FROM raises WHERE day = ? ORDER BY id DESC LIMIT 1", (day,)
    ).fetchone()
    if row is None or row[1] <= over:
        return None
    return Raise(day=row[0], cap=MicroUsd(row[1]), reason=row[2], by=row[3], at=UnixMs(row[4]))


def made_since(db: sqlite3.Connection, at: UnixMs) -> bool:
    """Whether the newest raise is not older than that."""
    row = db.execute("SELECT at FROM raises ORDER BY id DESC LIMIT 1").fetchone()
    return row is not None and row[0] >= at
