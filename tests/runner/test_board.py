"""The board: what one look at it tells, and nothing it leaves out."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from runner.errors import StoreError
from runner.home import Home
from runner.snapshot import Reader
from runner.store import alerts, controls, rate_pauses
from runner.store.db import Database
from runner.store.jobs import JobStatus
from runner.units import HOUR_MS, SECOND_MS, UnixMs
from runner.views import Vitals
from tests.factories import NOW, make_job, make_runner, make_running


def seen(database: Database) -> Vitals:
    reader = Reader(Home(database.path.parent), db=database.path)
    try:
        return reader.vitals(now=NOW)
    finally:
        reader.close()


def test_the_oldest_job_is_told_whatever_its_priority(database: Database, db: sqlite3.Connection) -> None:
    """The head of the queue is the oldest only where all jobs have one priority; one that is not due does not wait."""
    make_job(db, not_before=NOW + HOUR_MS)
    assert seen(database).counts.oldest_pending_ms is None

    make_job(db, not_before=NOW - 5 * SECOND_MS)
    assert seen(database).counts.oldest_pending_ms == 5_000

    make_job(db, not_before=NOW - 2 * SECOND_MS, priority=9)
    make_job(db, not_before=NOW - 7 * SECOND_MS, priority=-9)
    assert seen(database).counts.oldest_pending_ms == 7_000


def test_each_list_is_told_as_soon_as_it_is_not_empty(database: Database, db: sqlite3.Connection) -> None:
    """Pauses, alerts, pings and what waits for a gate, on a home where there was none of them."""
    before = seen(database)
    assert (before.pauses, before.paused, before.waiting, before.alerts.open, before.lately.ping) == (
        (),
        (),
        (),
        0,
        None,
    )

    make_job(db, status=JobStatus.PENDING, waiting_on="the day's cap", not_before=NOW + HOUR_MS)
    db.execute("UPDATE jobs SET waiting_gate = 'cap:day'")
    rate_pauses.pause(db, "house/model", until=UnixMs(NOW + HOUR_MS), reason="asked to", now=NOW)
    controls.pause(db, name="echo", reason="too loud", by="ada", now=NOW)
    controls.note_ping(db, fault=None, now=NOW)
    alerts.raise_alert(db, key="disk", level="warn", text="it fills", now=NOW)
    after = seen(database)

    assert [(held.gate, held.jobs) for held in after.waiting] == [("cap:day", 1)]
    assert [one.name for one in after.pauses] == ["house/model"]
    assert [one.name for one in after.paused] == ["echo"]
    assert after.lately.ping == controls.Ping(at=NOW, fault=None)
    assert (after.alerts.undelivered, after.alerts.open, after.alerts.untold_since) == (1, 1, NOW)


def test_the_runner_that_lives_is_told_before_those_that_ended(database: Database, db: sqlite3.Connection) -> None:
    """However new they are; one that stands by is told only where there was never another."""
    make_runner(db, id="old", ended="stopped", started_at=NOW)
    assert seen(database).runner.row is not None
    make_runner(db, id="lives", started_at=NOW - HOUR_MS)
    make_runner(db, id="newer", ended="lost", started_at=NOW + SECOND_MS)

    row = seen(database).runner.row
    assert row is not None
    assert row.id == "lives"


def test_a_running_job_comes_with_the_attempt_in_progress(database: Database, db: sqlite3.Connection) -> None:
    job = make_running(db)
    reader = Reader(Home(database.path.parent), db=database.path)
    found = reader.running()
    reader.close()

    assert [(one.id, attempt.n, attempt.outcome) for one, attempt in found] == [(job.id, job.starts, None)]


def test_a_look_that_fails_says_what_was_wrong_and_not_what_came_of_it(database: Database) -> None:
    """SQLite ends a transaction by itself where the file cannot be read; then there is none to roll back."""

    def fail(reader: Reader) -> None:
        with reader.reading() as look:
            look.execute("ROLLBACK")
            raise sqlite3.OperationalError("disk I/O error")

    with (
        closing(Reader(Home(database.path.parent), db=database.path)) as reader,
        pytest.raises(StoreError, match="disk I/O error"),
    ):
        fail(reader)
