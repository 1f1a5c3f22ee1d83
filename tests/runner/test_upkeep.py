"""Housekeeping: which of the jobs that a runner was lost under is to blame, and what is let go of when."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner import upkeep
from runner.store import jobs
from runner.store.db import Database
from runner.store.jobs import MAX_RESCUES, Job, JobStatus, Lease
from runner.units import UnixMs
from runner.views import Health, RunnerView, StopView
from runner.why import why
from tests.factories import NOW, make_attempt, make_job


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database.open(tmp_path / "agent.db", create=True)
    yield made
    made.close()


@pytest.fixture
def db(database: Database) -> sqlite3.Connection:
    """Its connection: every statement a transaction of its own."""
    return database.connection


def suspect(db: sqlite3.Connection, key: str, *, rescues: int, due: int = NOW) -> Job:
    """A pending job whose runner vanished under it so often."""
    job = make_job(db, key=key, not_before=due)
    db.execute("UPDATE jobs SET rescues = ? WHERE id = ?", (rescues, job.id))
    return job


def claim_all(db: sqlite3.Connection, *, workers: int = 8) -> list[Job]:
    """What so many idle workers leave with."""
    found = []
    for n in range(workers):
        lease = Lease(runner="runner-1", token=f"t{n}", until=UnixMs(NOW))
        found.append(jobs.claim(db, now=UnixMs(NOW), lease=lease))
    return [job for job in found if job is not None]


def finish(db: sqlite3.Connection, job: Job) -> None:
    jobs.finish(db, id=job.id, token=job.lease or "", status=JobStatus.DONE, now=UnixMs(NOW))


def keys(found: list[Job]) -> list[str]:
    return [job.key for job in found]


# --- who is to blame for a lost runner --------------------------------------------------------------------------------


def test_two_suspects_never_run_at_the_same_time(db: sqlite3.Connection) -> None:
    """The second waits until the first has ended; jobs that no runner was lost under pass it meanwhile."""
    suspect(db, "first", rescues=1, due=NOW - 3)
    suspect(db, "second", rescues=2, due=NOW - 2)
    make_job(db, key="fresh", not_before=NOW - 1)

    running = claim_all(db)
    assert keys(running) == ["first", "fresh"]
    finish(db, running[0])
    assert keys(claim_all(db)) == ["second"]


def test_a_job_on_its_last_chance_runs_with_nothing_beside_it(db: sqlite3.Connection) -> None:
    """It waits for what runs, nothing passes it, and nothing is started while it runs."""
    busy = make_job(db, key="busy", not_before=NOW - 3)
    running = claim_all(db)
    assert keys(running) == [busy.key]
    suspect(db, "last chance", rescues=MAX_RESCUES, due=NOW - 2)
    make_job(db, key="fresh", not_before=NOW - 1)

    assert claim_all(db) == []
    finish(db, running[0])
    running = claim_all(db)
    assert keys(running) == ["last chance"]
    finish(db, running[0])
    assert keys(claim_all(db)) == ["fresh"]


def test_no_job_is_a_poison_pill_for_what_ran_beside_it(db: sqlite3.Connection) -> None:
    """However often: only one that was lost alone goes to the dead letters."""
    for key in ("one", "other"):
        job = make_job(db, key=key, status=JobStatus.RUNNING, runner="gone")
        make_attempt(db, job, outcome=None)
        db.execute("UPDATE jobs SET rescues = ? WHERE id = ?", (MAX_RESCUES + 1, job.id))

    upkeep.take_back(db, runner="me", now=UnixMs(NOW))

    assert dict(db.execute("SELECT key, status FROM jobs")) == {"one": "pending", "other": "pending"}


def test_the_guilty_one_is_found_among_many(db: sqlite3.Connection) -> None:
    """Eight workers, sixteen jobs, one that kills the runner whenever it runs: it alone ends dead, in four tries."""
    for n in range(16):
        make_job(db, key=f"job-{n}", not_before=NOW - 100 + n)
    lost = 0
    running: list[Job] = []
    while running := running + claim_all(db, workers=8 - len(running)):
        if "job-5" in keys(running):
            upkeep.take_back(db, runner="the next", now=UnixMs(NOW))
            lost += 1
            running = []
        else:
            finish(db, running.pop(0))

    assert lost == MAX_RESCUES + 1
    assert dict(db.execute("SELECT status, count(*) FROM jobs GROUP BY status")) == {"done": 15, "dead": 1}
    assert db.execute("SELECT key FROM dead_letter").fetchall() == [("job-5",)]


def test_why_names_what_a_suspect_waits_for(db: sqlite3.Connection) -> None:
    """And what everybody else waits for, while one is on its last chance."""
    suspect(db, "first", rescues=1, due=NOW - 3)
    second = suspect(db, "second", rescues=1, due=NOW - 2)
    running = claim_all(db)

    said = why(db, _row(db, second), RunnerView(health=Health.LIVE), StopView(), now=UnixMs(NOW))
    assert "a runner was lost under it and under first, and such jobs run one at a time" in said

    db.execute("UPDATE jobs SET rescues = ? WHERE id = ?", (MAX_RESCUES, running[0].id))
    fresh = make_job(db, key="fresh", not_before=NOW - 1)
    said = why(db, fresh, RunnerView(health=Health.LIVE), StopView(), now=UnixMs(NOW))
    assert "first runs alone, as runners were lost under it before" in said


def _row(db: sqlite3.Connection, job: Job) -> Job:
    found = jobs.by_key(db, job.key)
    assert found is not None
    return found
