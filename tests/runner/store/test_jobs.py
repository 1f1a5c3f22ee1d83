"""The queue: what is added, what is pruned, and what no row may say."""

from __future__ import annotations

import sqlite3
from sqlite3 import Connection

import pytest

from runner.care import retention
from runner.store import jobs
from runner.store.jobs import AT_ONCE, JobStatus, NewJob
from runner.units import DAY_MS, HOUR_MS, UnixMs
from tests.factories import NOW, make_attempt, make_charge, make_job, make_running, make_step

# --- insert ---------------------------------------------------------------------------------------------------------


def test_of_many_jobs_each_is_told_what_became_of_it(db: Connection) -> None:
    """New ones, ones that were there and ones that stand twice among them, however many one statement takes."""
    make_job(db, key="k3", status=JobStatus.DONE, payload={})
    make_job(db, key=f"k{AT_ONCE + 2}", task="echo", status=JobStatus.DEAD, payload={"n": 1})
    keys = [f"k{n}" for n in range(AT_ONCE)] + ["k7", *(f"k{n}" for n in range(AT_ONCE, 2 * AT_ONCE)), "k8"]
    new = [NewJob(key=key, task="echo", payload="{}", not_before=NOW, max_attempts=4) for key in keys]
    new[-1] = new[-1]._replace(payload="[]")

    told = jobs.insert_all(db, new, now=NOW)

    twice = {AT_ONCE: (JobStatus.PENDING, False, None), len(keys) - 1: (JobStatus.PENDING, True, None)}
    before = {3: (JobStatus.DONE, False, "digest"), AT_ONCE + 3: (JobStatus.DEAD, True, None)}
    assert {place: there for place, there in enumerate(told) if there is not None} == {**twice, **before}
    added = [key for key, status in zip(keys, told, strict=True) if status is None]
    assert [row[0] for row in db.execute("SELECT key FROM jobs WHERE status = 'pending' ORDER BY id")] == added
    assert db.execute("SELECT pending FROM board").fetchone() == (len(added),)


# --- prune ------------------------------------------------------------------------------------------------------------


def pruned(db: Connection, *, before: int, keep: int, batch: int = 50) -> set[str]:
    """The keys that one whole round of pruning takes."""
    there = {row[0] for row in db.execute("SELECT key FROM jobs")}
    step = retention.finished_jobs(UnixMs(before), keep, batch=batch)
    would = retention.count(step, db)
    assert retention.walk(step, lambda act: act(db)) == would
    return there - {row[0] for row in db.execute("SELECT key FROM jobs")}


def test_pruning_takes_what_is_old_and_finished_only(db: Connection) -> None:
    """Never what is unfinished, dead or has a hold open, however old."""
    for status in JobStatus:
        fields = {"created_at": NOW - DAY_MS, "key": status.value}
        made = make_running(db, **fields) if status is JobStatus.RUNNING else make_job(db, status=status, **fields)
        make_attempt(db, made, n=7)
        make_step(db, made)
    unsettled = make_job(db, key="unsettled", status=JobStatus.DONE, created_at=NOW - DAY_MS)
    make_charge(db, unsettled, hold=5)
    paid = make_job(db, key="paid", status=JobStatus.DONE, created_at=NOW - DAY_MS)
    make_charge(db, paid, hold=5, cost=3)
    make_job(db, key="young", status=JobStatus.DONE)

    gone = pruned(db, before=NOW - HOUR_MS, keep=1_000)

    assert gone == {"done", "halted", "cancelled", "paid"}
    assert db.execute("SELECT count(*) FROM charges").fetchone() == (2,), "the ledger outlives the job"
    left = {row[0] for row in db.execute("SELECT DISTINCT job_id FROM attempts")}
    assert left <= {row[0] for row in db.execute("SELECT id FROM jobs")}


def test_pruning_by_number_keeps_the_newest(db: Connection) -> None:
    """Beyond so many finished ones the oldest go, whatever the batch; unfinished and dead ones are not counted."""
    for n in range(30):
        make_job(db, key=f"done-{n:02}", status=JobStatus.DONE)
        make_job(db, key=f"dead-{n:02}", status=JobStatus.DEAD)
        make_job(db, key=f"pending-{n:02}")

    gone = pruned(db, before=0, keep=12, batch=7)

    assert gone == {f"done-{n:02}" for n in range(18)}


# --- rules SQLite holds -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "act",
    [
        "UPDATE jobs SET status = 'running' WHERE status = 'pending'",
        "UPDATE jobs SET status = 'done' WHERE status = 'pending'",
        "UPDATE jobs SET status = 'lost'",
        "UPDATE jobs SET payload = 'not json'",
        "UPDATE jobs SET attempts = 'many'",
        "UPDATE jobs SET priority = 10",
    ],
)
def test_a_row_that_contradicts_itself_is_refused(db: Connection, act: str) -> None:
    make_job(db)
    with pytest.raises(sqlite3.IntegrityError):
        db.execute(act)


def test_an_id_is_never_given_twice(db: Connection) -> None:
    """Screens hold ids: a removed job's id must not come back as another job's."""
    first = make_job(db, status=JobStatus.DONE)
    assert jobs.remove(db, id=first.id)

    assert make_job(db).id > first.id
