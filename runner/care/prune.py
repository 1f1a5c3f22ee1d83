"""Letting go of what is old at once, as upkeep does in small portions while a runner lives."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from runner.care import files, retention
from runner.care.retention import Batch
from runner.config import RunnerConfig
from runner.home import Home
from runner.store import alerts, events, incidents, jobs, outcomes, schedules
from runner.store.db import Database, open_reader
from runner.units import UnixMs

ALERTS = "alerts that are over"
SLOTS = "due times of schedules"
INCIDENTS = "incidents closed long ago"
OUTCOMES = "counters of old reports"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What went, or would go."""

    rows: dict[str, int]
    """Number by what they are."""
    files: int
    """What attempts printed."""
    bytes: int
    """Of these files."""


def would_prune(home: Home, settings: RunnerConfig, *, now: UnixMs) -> Pruned:
    """What `prune` would let go of; changes nothing. Raises StoreError."""
    with closing(open_reader(home.db)) as db:
        rows = {step.name: retention.count(step, db) for step in retention.steps(settings, now=now)}
        rows[ALERTS] = alerts.too_old(db, now=now)
        rows[SLOTS] = schedules.too_old(db, now=now)
        rows[INCIDENTS] = incidents.too_old(db, now=now)
        rows[OUTCOMES] = outcomes.too_old(db, now=now)
        gone = _too_many(home, settings, db, now=now)
    return Pruned(rows=rows, files=len(gone), bytes=sum(output.size for output in gone))


def prune(home: Home, settings: RunnerConfig, *, by: str, now: UnixMs) -> Pruned:
    """Let go of it, in transactions so short that nobody waits. Raises StoreError; what went until then is gone."""
    database = Database.open(home.db)
    try:

        def turn(act: Callable[[sqlite3.Connection], Batch]) -> Batch:
            with database.write() as db:
                return act(db)

        rows = {step.name: retention.walk(step, turn) for step in retention.steps(settings, now=now)}
        rows[ALERTS] = _again(database, lambda db: alerts.prune(db, now=now, batch=retention.BATCH))
        rows[SLOTS] = _again(database, lambda db: schedules.prune(db, now=now, batch=retention.BATCH))
        rows[INCIDENTS] = _again(database, lambda db: incidents.prune(db, now=now, batch=retention.BATCH))
        rows[OUTCOMES] = _again(database, lambda db: outcomes.prune(db, now=now, batch=retention.BATCH))
        gone = _too_many(home, settings, database.connection, now=now)
        deleted = files.delete(gone)
        said = ", ".join(f"{number:,} {name}" for name, number in rows.items() if number) or "no rows"
        with database.write() as db:
            text = f"pruned by {by}: {said}, {deleted:,} files"
            events.record(db, now=now, level=events.INFO, event="home.pruned", text=text)
        database.checkpoint(truncate=True)
    finally:
        database.close()
    return Pruned(rows=rows, files=deleted, bytes=sum(output.size for output in gone))


def _again(database: Database, act: Callable[[sqlite3.Connection], int]) -> int:
    whole = 0
    while True:
        with database.write() as db:
            gone = act(db)
        whole += gone
        if gone < retention.BATCH:
            return whole


def _too_many(home: Home, settings: RunnerConfig, db: sqlite3.Connection, *, now: UnixMs) -> list[files.Output]:
    found = files.outputs(home.attempts)
    ids = sorted({output.job for output in found})
    protected = set[int]()
    for start in range(0, len(ids), retention.BATCH):
        protected |= jobs.protected(db, ids[start : start + retention.BATCH])
    before = UnixMs(now - settings.keep_finished_ms)
    return files.too_many(found, before=before, most_bytes=settings.keep_output_mb * 1_000_000, protected=protected)
