"""Dead letters as they are listed and named for a replay: in the order of their deaths."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from runner.home import Home
from runner.snapshot import Reader
from runner.store.jobs import JobStatus
from tests.factories import NOW, make_job, new_database

ERROR = "TimeoutError: no answer"


@pytest.fixture
def db(home: Home) -> Iterator[sqlite3.Connection]:
    with closing(new_database(home.db)) as database:
        yield database.connection


def bury(db: sqlite3.Connection, key: str, *, died: int, error: str = ERROR) -> int:
    return make_job(db, key=key, status=JobStatus.DEAD, finished_at=died, error=error).id


@pytest.mark.parametrize("by_error", [False, True])
def test_the_last_of_a_frozen_set_is_the_newest_death(home: Home, db: sqlite3.Connection, by_error: bool) -> None:
    """And not the job that was queued last: a canary is the last of them."""
    waited = bury(db, "queued first", died=NOW + 8_000)
    at_once = bury(db, "queued last", died=NOW)

    with closing(Reader(home)) as reader:
        fingerprint = reader.dead()[0].fingerprint if by_error else None
        assert reader.dead_ids(fingerprint=fingerprint) == (at_once, waited)
        assert [job.id for job in reader.dead()] == [waited, at_once]


def test_the_frozen_set_of_an_error_is_found_by_its_index(home: Home, db: sqlite3.Connection) -> None:
    bury(db, "one", died=NOW)
    asked: list[str] = []

    with closing(Reader(home)) as reader:
        reader._connection.set_trace_callback(asked.append)
        reader.dead_ids(fingerprint="x")
        reader.dead_ids()

    plans = [
        " ".join(row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}")) for sql in asked if sql.startswith("SELECT")
    ]
    assert [("jobs_dead" in plan, "TEMP B-TREE" in plan) for plan in plans] == [(True, False)] * 2
