"""The counters of the report are right whoever writes, and outlive the rows they count."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from importlib import resources
from pathlib import Path

import pytest

from runner.store import jobs, leases, outcomes, replays
from runner.store.db import Database
from runner.store.jobs import JobStatus
from runner.store.replays import Before
from runner.units import DAY_MS, HOUR_MS, MINUTE_MS, UnixMs
from tests.factories import NOW, lease_of, make_attempt, make_charge, make_event, make_job, make_running

EVER = UnixMs(NOW + 30 * DAY_MS)


def ended(db: sqlite3.Connection, *, since: int = 0, until: int = EVER) -> dict[tuple[str, str], tuple[int, int]]:
    found = outcomes.ended(db, since=UnixMs(since), until=UnixMs(until))
    return {(row.task, row.status): (row.jobs, row.cost) for row in found}


def happened(db: sqlite3.Connection) -> dict[tuple[str, str], int]:
    return {(row.event, row.task): row.number for row in outcomes.happened(db, since=UnixMs(0), until=EVER)}


def test_every_end_is_counted_once_with_what_it_cost(db: sqlite3.Connection) -> None:
    for number, status in enumerate((JobStatus.DONE, JobStatus.DONE, JobStatus.HALTED, JobStatus.DEAD)):
        job = make_running(db)
        make_charge(db, job, cost=1_000 + number)
        make_charge(db, job, hold=50)
        leases.finish(db, id=job.id, token=lease_of(job).token, status=status, now=NOW)
    jobs.cancel(db, id=make_job(db).id, now=NOW)

    assert ended(db) == {
        ("digest", "done"): (2, 2_101),
        ("digest", "halted"): (1, 1_052),
        ("digest", "dead"): (1, 1_053),
        ("digest", "cancelled"): (1, 0),
    }


def test_a_quarter_of_an_hour_is_the_grain(db: sqlite3.Connection) -> None:
    start = NOW // (15 * MINUTE_MS) * 15 * MINUTE_MS
    for at in (start - 1, start, start + 15 * MINUTE_MS):
        make_job(db, status=JobStatus.DONE, finished_at=at)

    assert ended(db, since=start, until=start + 15 * MINUTE_MS) == {("digest", "done"): (1, 0)}
    assert ended(db, since=start, until=start + 15 * MINUTE_MS + 1) == {("digest", "done"): (2, 0)}


def test_tasks_that_take_turns_and_clocks_set_back_lose_nothing(db: sqlite3.Connection) -> None:
    """The newest are counted in one place, the others in another."""
    db.execute("BEGIN")  # hundreds of commits would say nothing more
    rng = random.Random(7)
    counted = Counter[tuple[str, int]]()
    for _ in range(300):
        task, at = rng.choice(("a", "b", "c")), NOW + rng.choice((-2, -1, 0, 0, 0, 1)) * HOUR_MS
        job = make_running(db, task=task)
        cost = rng.choice((0, 0, 70))
        if cost:
            make_charge(db, job, cost=cost)
        leases.finish(db, id=job.id, token=lease_of(job).token, status=JobStatus.DONE, now=UnixMs(at))
        counted[task, 0] += 1
        counted[task, 1] += cost

    assert ended(db) == {(task, "done"): (counted[task, 0], counted[task, 1]) for task in "abc"}
    assert db.execute("SELECT count(*) FROM ended").fetchone()[0] <= 3 * 4 + 1


def test_a_second_life_costs_what_it_costs_and_not_the_first_one_again(db: sqlite3.Connection) -> None:
    job = make_running(db, key="again")
    make_charge(db, job, cost=700, n=job.starts)
    leases.finish(db, id=job.id, token=lease_of(job).token, status=JobStatus.DEAD, now=NOW, error="no")
    died = jobs.by_key(db, "again")
    assert died is not None
    before = Before(not_before=NOW, attempts=1, rescues=0, cancel=False, starts=died.starts, died_at=NOW)
    replays.keep(db, job_id=job.id, token="t", before=before)
    jobs.replay(db, id=job.id, now=NOW)
    db.execute("UPDATE jobs SET status = 'running', lease = 'l', starts = starts + 1 WHERE id = ?", (job.id,))
    make_attempt(db, job, n=died.starts + 1, outcome=None)
    make_charge(db, job, cost=30, n=died.starts + 1)
    leases.finish(db, id=job.id, token="l", status=JobStatus.DONE, now=NOW)

    assert ended(db) == {("digest", "dead"): (1, 700), ("digest", "done"): (1, 30)}


def test_a_replay_that_is_undone_is_no_second_death(db: sqlite3.Connection) -> None:
    job = make_running(db)
    leases.finish(db, id=job.id, token=lease_of(job).token, status=JobStatus.DEAD, now=NOW, error="no")
    jobs.replay(db, id=job.id, now=NOW)
    db.execute("UPDATE jobs SET status = 'dead', finished_at = ? WHERE id = ?", (NOW, job.id))

    assert ended(db) == {("digest", "dead"): (1, 0)}


def test_counters_outlive_the_rows(db: sqlite3.Connection) -> None:
    make_job(db, status=JobStatus.DONE)
    make_event(db, event="stop.set", level="warn")
    db.execute("DELETE FROM jobs")
    db.execute("DELETE FROM events")

    assert ended(db) == {("digest", "done"): (1, 0)}
    assert happened(db) == {("stop.set", ""): 1}


def test_what_only_says_that_a_job_went_its_way_is_not_counted(db: sqlite3.Connection) -> None:
    for event, level in (("job.done", "info"), ("job.log", "info"), ("job.retry", "warn"), ("runner.start", "info")):
        make_event(db, event=event, level=level, task="digest")

    assert happened(db) == {("job.retry", "digest"): 1, ("runner.start", "digest"): 1}


def test_the_oldest_are_forgotten_in_batches(db: sqlite3.Connection) -> None:
    for hour in range(5):
        make_job(db, status=JobStatus.DONE, finished_at=NOW + hour * HOUR_MS)
        make_event(db, event="stop.set", at=NOW + hour * HOUR_MS)
    late = UnixMs(NOW + outcomes.KEEP_MS + 3 * HOUR_MS)

    assert [outcomes.prune(db, now=late, batch=2) for _ in range(3)] == [4, 2, 0]
    assert ended(db) == {("digest", "done"): (2, 0)}


def test_what_ended_before_there_were_counters_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The migration of a home that has a past."""
    scripts = sorted(path.name for path in (resources.files("runner.store") / "migrations").iterdir())
    number = scripts.index("0009_service.sql")
    from runner.store import db as store

    every = store._migrations()
    monkeypatch.setattr(store, "_migrations", lambda: every[:number])
    old = Database.open(tmp_path / "agent.db", create=True)
    make_job(old.connection, status=JobStatus.DONE)
    make_job(old.connection, status=JobStatus.HALTED)
    make_job(old.connection)
    make_event(old.connection, event="breaker.open", level="error")
    make_event(old.connection, event="job.done")
    old.close()
    monkeypatch.undo()

    new = Database.open(tmp_path / "agent.db")

    assert ended(new.connection) == {("digest", "done"): (1, 0), ("digest", "halted"): (1, 0)}
    assert happened(new.connection) == {("breaker.open", ""): 1}
    new.close()
