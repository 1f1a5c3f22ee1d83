"""Where alerts go, by name, and when one that fails is tried again. Runs in the caller's transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass

from runner.units import MINUTE_MS, SECOND_MS, UnixMs

LONG_MS = 15 * MINUTE_MS
"""An address that takes nothing for so long is an alert itself."""
FIRST_GAP_MS = 5 * SECOND_MS
MOST_GAP_MS = 10 * MINUTE_MS
"""The gap doubles with each failure up to this: it is also how late an address that is back is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One place alerts go."""

    name: str
    """Scheme, and host where that holds no secret."""
    took_at: UnixMs | None = None
    """When it last took a message; None: it never did."""
    failures: int = 0
    """In a row."""
    failing_since: UnixMs | None = None
    next_at: UnixMs | None = None
    """Not tried before, while it fails; None: it does not."""
    last_error: str | None = None
    """Of the failures; None: it works, or was never tried."""

    def rests(self, now: UnixMs) -> bool:
        """Whether it is not to be tried yet. A clock that was set back makes nobody wait longer."""
        return self.next_at is not None and now < self.next_at <= now + MOST_GAP_MS


def all_of(db: sqlite3.Connection) -> list[Address]:
    """Every address that was ever tried, by name."""
    rows = db.execute("SELECT name, took_at, failures, failing_since, next_at, last_error FROM addresses ORDER BY name")
    return [
        Address(
            name=row[0],
            took_at=UnixMs(row[1]) if row[1] is not None else None,
            failures=row[2],
            failing_since=UnixMs(row[3]) if row[3] is not None else None,
            next_at=UnixMs(row[4]) if row[4] is not None else None,
            last_error=row[5],
        )
        for row in rows
    ]


def failing(db: sqlite3.Connection, *, now: UnixMs) -> list[Address]:
    """Those that took nothing for long."""
    return [one for one in all_of(db) if one.failing_since is not None and now - one.failing_since >= LONG_MS]


def get(db: sqlite3.Connection, name: str) -> Address:
    """One address, as new when it was never tried."""
    return next((one for one in all_of(db) if one.name == name), Address(name=name))


def took(db: sqlite3.Connection, name: str, *, now: UnixMs) -> None:
    """It took a message."""
    db.execute(
        "INSERT INTO addresses (name, took_at) VALUES (?, ?) ON CONFLICT DO UPDATE SET took_at = excluded.took_at, "
        "failures = 0, failing_since = NULL, next_at = NULL, last_error = NULL",
        (name, now),
    )


def failed(db: sqlite3.Connection, name: str, *, error: str, now: UnixMs) -> Address:
    """It did not; as it stands now. The error must be free of secrets already."""
    before = get(db, name)
    gap_ms = min(FIRST_GAP_MS << min(before.failures, 20), MOST_GAP_MS)
    db.execute(
        "INSERT INTO addresses (name, failures, failing_since, next_at, last_error) VALUES (?, 1, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET failures = failures + 1, failing_since = coalesce(failing_since, "
        "excluded.failing_since), next_at = excluded.next_at, last_error = excluded.last_error",
        (name, now, now + gap_ms, error),
    )
    return get(db, name)


def keep(db: sqlite3.Connection, names: Collection[str]) -> None:
    """Forget those that are there no more."""
    marks = ", ".join("?" * len(names))
    db.execute(f"DELETE FROM addresses WHERE name NOT IN ({marks})", (*names,))  # noqa: S608 - marks only
