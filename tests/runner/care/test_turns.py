"""However much there is to do, nobody waits for it: what is let go of goes in small turns, and a look takes no turn."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from runner.care import check as looking
from runner.care import prune as pruning
from runner.care.check import Verdict
from runner.care.retention import BATCH
from runner.config import RunnerConfig
from runner.home import Home
from runner.store import charges, enough, events, schedules
from runner.store.db import Database, open_reader
from runner.units import DAY_MS, UnixMs
from tests.factories import NOW, make_job, make_settings

OLD = NOW - 500 * DAY_MS
MANY = 2 * BATCH + 50
"""Of every kind, so that each takes three turns."""
PER_ROW = 8
"""Rows that may go or change with one that is let go of: what hangs on it, its counters, the sign that all changed."""


def fill(db: sqlite3.Connection) -> None:
    """Many of everything that may go, long over."""
    made = f"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {MANY})"
    db.executescript(f"""
    BEGIN;
    INSERT INTO jobs (key, task, payload, status, not_before, attempts, starts, max_attempts, result, created_at,
                      finished_at)
    {made} SELECT 'old-' || i, 'echo', '{{}}', 'done', 1, 1, 2, 4, 'null', {OLD}, {OLD} FROM n;
    INSERT INTO attempts (job_id, n, runner, started_at, ended_at, outcome)
        SELECT id, 1, 'r', {OLD}, {OLD}, 'retry' FROM jobs UNION ALL SELECT id, 2, 'r', {OLD}, {OLD}, 'done' FROM jobs;
    INSERT INTO steps (job_id, name, result, n, at) SELECT id, 'fetch', '1', 1, {OLD} FROM jobs;
    INSERT INTO charges (day, zone, held_at, job_id, n, task, upstream, model, runner, state, hold, cost, ended_at)
        SELECT '2028-11-01', 'UTC', {OLD} - (id < {MANY}) * {9 * DAY_MS}, id, 1, 'echo', 'a', 'm', 'r', 'settled', 9, 5,
               {OLD} FROM jobs;
    INSERT INTO drafts (job_id, job_key, task, n, name, performs, payload, summary, priority, max_attempts, state, at,
                        decided_at, by)
        SELECT id, key, 'echo', 1, 'send', 'post', '{{}}', 'send it', 0, 1, 'rejected', {OLD}, {OLD}, 'ada' FROM jobs;
    INSERT INTO slots (schedule, due_at, at, job_key) {made} SELECT 'echo', {OLD} + i, {OLD}, 'slot-' || i FROM n;
    INSERT INTO events (at, level, event, text) {made} SELECT {OLD}, 'info', 'x', 'x' FROM n;
    INSERT INTO alerts (at, key, level, text, delivered_at, closed_at, owed)
        {made} SELECT {OLD}, 'x:' || i, 'warn', 'x', {OLD}, {OLD}, 0 FROM n;
    INSERT INTO incidents (subject, alert_key, level, text, last_text, opened_at, last_at, settled_at, closed_at,
                           closed_by, cause, fix)
        {made} SELECT 'x:' || i, 'x', 'warn', 'x', 'x', {OLD}, {OLD}, {OLD}, {OLD}, 'ada', 'c', 'f' FROM n;
    INSERT INTO outcomes (quarter, task, status, jobs, cost) {made} SELECT i, 'x', 'done', 1, 1 FROM n;
    COMMIT;
    """)


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows that each transaction wrote or deleted, counters included."""
    counted: list[int] = []
    write = Database.write

    @contextmanager
    def counting(self: Database) -> Iterator[sqlite3.Connection]:
        with write(self) as db:
            before = db.total_changes
            yield db
            counted.append(db.total_changes - before)

    monkeypatch.setattr(Database, "write", counting)
    return counted


def test_pruning_takes_no_more_than_a_batch_a_turn(
    home: Home, db: sqlite3.Connection, turns: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine so quick that no turn ends by its time."""
    monkeypatch.setattr(enough, "after", lambda: enough.never)
    monkeypatch.setattr(charges, "FOLDABLE", charges.FOLDABLE.replace(f"- {charges.KEEP}", "- 2"))
    monkeypatch.setattr("runner.store.events.prune.__kwdefaults__", {**events.prune.__kwdefaults__, "keep": 1})  # type: ignore[attr-defined]
    monkeypatch.setattr("runner.store.schedules.prune.__kwdefaults__", {**schedules.prune.__kwdefaults__, "keep": 1})  # type: ignore[attr-defined]
    fill(db)
    kept = RunnerConfig(keep_finished_ms=DAY_MS, keep_finished=0, keep_calls_ms=DAY_MS)

    done = pruning.prune(home, kept, by="ada", now=UnixMs(NOW))

    assert {name: rows >= MANY - 3 for name, rows in done.rows.items()} == {
        name: name != "replays that are over" for name in done.rows
    }
    assert len(turns) >= 3 * (len(done.rows) - 1)
    assert max(turns) <= PER_ROW * BATCH, turns


def test_a_deep_look_holds_up_nobody_who_writes(
    home: Home, db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody commits in the middle of every statement of it and never waits; what it says is of one moment each."""
    make_settings(db)
    fill(db)
    written = 0

    def write() -> int:
        nonlocal written
        make_job(db)
        written += 1
        return 0

    def interrupted(path: Path) -> sqlite3.Connection:
        reader = open_reader(path)
        reader.set_progress_handler(write, 2_000)
        return reader

    db.execute("PRAGMA busy_timeout = 0")
    monkeypatch.setattr(looking, "open_reader", interrupted)

    lines = list(looking.check(home.db, deep=True, now=UnixMs(NOW)))

    assert written > 10
    assert [line for line in lines if line.verdict is not Verdict.OK] == []
    with closing(open_reader(home.db)) as reader:
        assert reader.execute("SELECT pending FROM board").fetchone() == (written,)
