"""When it was last proven that what guards this home works. Runs in the caller's transaction."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from runner.units import DAY_MS, UnixMs

NAMES = ("stop", "cap", "breaker", "alert", "rescue")
"""What is drilled, in the order of a drill."""
FRESH_MS = 30 * DAY_MS
"""A proof older than this is to be had again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """One of them, as it was last drilled."""

    name: str
    proven_at: UnixMs | None = None
    """None: it never was."""
    proven_by: str | None = None
    version: str | None = None
    """Of the program that was proven."""
    failed_at: UnixMs | None = None
    """The last time it was not proven."""
    fault: str | None = None

    @property
    def failing(self) -> bool:
        """It was tried since it was last proven, and was not."""
        return self.failed_at is not None and (self.proven_at is None or self.failed_at > self.proven_at)

    def fresh(self, now: UnixMs) -> bool:
        """Whether the proof still says something."""
        return not self.failing and self.proven_at is not None and now - self.proven_at <= FRESH_MS


def proven(db: sqlite3.Connection, name: str, *, by: str, version: str, now: UnixMs) -> None:
    """Write down that it works."""
    db.execute(
        "INSERT INTO drills (name, proven_at, proven_by, version) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
        "proven_at = excluded.proven_at, proven_by = excluded.proven_by, version = excluded.version, "
        "failed_at = NULL, fault = NULL",
        (name, now, by, version),
    )


def failed(db: sqlite3.Connection, name: str, *, fault: str, now: UnixMs) -> None:
    """Write down that it did not work; the last proof stays."""
    db.execute(
        "INSERT INTO drills (name, failed_at, fault) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET "
        "failed_at = excluded.failed_at, fault = excluded.fault",
        (name, now, fault),
    )


def all_of(db: sqlite3.Connection) -> list[Drill]:
    """Every one of `NAMES`, in that order, those never drilled too."""
    rows = db.execute("SELECT name, proven_at, proven_by, version, failed_at, fault FROM drills")
    known = {row[0]: Drill(**dict(zip(Drill.__dataclass_fields__, row, strict=True))) for row in rows}
    return [known.get(name) or Drill(name=name) for name in NAMES]
