"""Pruning: what it takes, what it never takes, and that no sum changes by it."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.care import retention, rules
from runner.config import RunnerConfig
from runner.store import charges, drafts, enough, jobs, replays
from runner.store.charges import NewCharge
from runner.store.db import Database
from runner.store.drafts import NewDraft
from runner.store.jobs import JobStatus
from runner.store.replays import Before
from runner.units import DAY_MS, HOUR_MS, MicroUsd, UnixMs
from tests.factories import NOW, make_attempt, make_charge, make_event, make_job, make_step

KEPT = RunnerConfig(keep_finished_ms=DAY_MS, keep_finished=3, keep_calls_ms=2 * DAY_MS)
PROTECTED = {
    "jobs": "status IN ('pending', 'running', 'dead') OR held > 0",
    "attempts": "job_id IN (SELECT id FROM jobs WHERE status IN ('pending', 'running', 'dead') OR held > 0)",
    "steps": "job_id IN (SELECT id FROM jobs WHERE status IN ('pending', 'running', 'dead') OR held > 0)",
    "charges": "state = 'held' OR job_id IN (SELECT id FROM jobs WHERE status IN ('pending', 'running', 'dead'))",
    "drafts": "state = 'waiting' OR job_id IN (SELECT id FROM jobs WHERE status IN ('pending', 'running', 'dead'))",
    "replays": "job_id IN (SELECT id FROM jobs WHERE status IN ('pending', 'running'))",
}
"""What nobody may let go of, by table."""


def prune(db: sqlite3.Connection, kept: RunnerConfig = KEPT, *, now: int = NOW) -> dict[str, int]:
    """One whole round; how many went of what. What it would let go of was counted before."""
    steps = retention.steps(kept, now=UnixMs(now))
    gone = {}
    for step in steps:
        would = retention.count(step, db)
        gone[step.name] = retention.walk(step, lambda act: act(db))
        assert gone[step.name] == would
    return gone


@pytest.fixture(autouse=True)
def few_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest calls that are kept whatever the clock says, for tests of a few."""
    monkeypatch.setattr(charges, "FOLDABLE", charges.FOLDABLE.replace(f"- {charges.KEEP}", "- 2"))


JOB = st.fixed_dictionaries(
    {
        "status": st.sampled_from(list(JobStatus)),
        "age": st.integers(0, 5),
        "calls": st.lists(st.tuples(st.integers(0, 5), st.integers(0, 90), st.sampled_from("hsr")), max_size=3),
        "steps": st.integers(0, 3),
        "draft": st.sampled_from(["", "waiting", "approved", "rejected"]),
        "replayed": st.booleans(),
        "removed": st.booleans(),
    }
)


def add(db: sqlite3.Connection, wish: dict[str, Any]) -> None:
    """A job as wished for, with all that may hang on one."""
    at = NOW - wish["age"] * DAY_MS
    job = make_job(db, status=wish["status"], created_at=at, attempts=1)
    make_attempt(db, job, started_at=at, n=max(1, job.starts))
    for n in range(wish["steps"]):
        make_step(db, job, name=f"step {n}")
    for days, cost, how in wish["calls"]:
        held_at = NOW - days * DAY_MS
        day = f"2030-03-{17 - days}"
        if how == "r":
            new = NewCharge(day=day, zone="UTC", job_id=job.id, n=1, task="digest", upstream="a", model="m",
                            runner="r", hold=MicroUsd(cost))  # fmt: skip
            charges.release(db, charges.hold(db, new, now=UnixMs(held_at)), note="not sent", now=UnixMs(held_at))
        else:
            make_charge(db, job, day=day, held_at=held_at, hold=99, cost=cost if how == "s" else None)
    if wish["draft"]:
        draft = NewDraft(job_id=job.id, job=job.key, task="digest", n=1, name="send", performs="post", payload="{}",
                         priority=0, max_attempts=1, summary="send it")  # fmt: skip
        made, _ = drafts.add(db, draft, now=UnixMs(at))
        if wish["draft"] == "approved":
            drafts.approve(db, made.id, became=f"draft-{made.id}", by="ada", now=UnixMs(at))
        elif wish["draft"] == "rejected":
            drafts.reject(db, made.id, reason="no", by="ada", now=UnixMs(at))
    if wish["replayed"]:
        before = Before(not_before=UnixMs(at), attempts=1, rescues=0, cancel=False, starts=1, died_at=UnixMs(at))
        replays.keep(db, job_id=job.id, token="t", before=before)
    if wish["removed"]:
        jobs.remove(db, id=job.id)


@settings(max_examples=40)
@given(wishes=st.lists(JOB, min_size=1, max_size=12), batch=st.integers(1, 5))
def test_no_home_loses_what_somebody_waits_for_or_what_a_day_cost(wishes: list[dict[str, Any]], batch: int) -> None:
    """Random homes: what is unfinished, dead, unsettled or undecided stays, and every cap counts what it counted."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(retention, "BATCH", batch)
        database = Database.open(Path(folder) / "agent.db", create=True)
        db = database.connection
        db.execute("PRAGMA synchronous = OFF")
        for wish in wishes:
            add(db, wish)
        kept = {
            table: db.execute(f"SELECT * FROM {table} WHERE {where}").fetchall() for table, where in PROTECTED.items()
        }
        spent = _spent(db)

        prune(db)

        assert _protected(db) == kept
        assert _spent(db) == spent
        assert db.execute(rules.DAYS.sql).fetchall() == []
        assert db.execute(rules.COSTS.sql).fetchall() == []
        assert db.execute(rules.COUNTS.sql).fetchall() == []
        assert sum(prune(db).values()) == 0, "a second round finds nothing"
        database.close()


def _protected(db: sqlite3.Connection) -> dict[str, list[Any]]:
    return {table: db.execute(f"SELECT * FROM {table} WHERE {where}").fetchall() for table, where in PROTECTED.items()}


def _spent(db: sqlite3.Connection) -> list[object]:
    """What each cap counts."""
    days = [charges.spent_since_day(db, f"2030-03-{day}") for day in range(10, 18)]
    return [*days, *(charges.committed_since(db, UnixMs(NOW - span)) for span in (HOUR_MS, DAY_MS))]


def test_old_calls_become_part_of_a_sum(db: sqlite3.Connection) -> None:
    """By day, task and model; the newest and those of a job that is still there keep their rows."""
    gone = make_job(db, status=JobStatus.DONE, created_at=NOW - 9 * DAY_MS)
    there = make_job(db, status=JobStatus.DEAD, created_at=NOW - 9 * DAY_MS)
    for job, model in ((gone, "a"), (gone, "a"), (gone, "b"), (there, "a"), (gone, "a"), (gone, "a")):
        make_charge(db, job, day="2030-03-08", held_at=NOW - 9 * DAY_MS, cost=7, model=model)
    make_charge(db, there, day="2030-03-17", cost=5)
    jobs.remove(db, id=gone.id)

    prune(db)

    assert db.execute("SELECT * FROM charges_folded").fetchall() == [
        ("2030-03-08", "digest", "a", 3, 21),
        ("2030-03-08", "digest", "b", 1, 7),
    ]
    assert db.execute("SELECT count(*) FROM charges").fetchone() == (3,)
    assert db.execute("SELECT * FROM spend WHERE day = '2030-03-08'").fetchall() == [("2030-03-08", 42, 42, 0)]


def test_a_clock_that_is_ahead_makes_no_call_look_old(db: sqlite3.Connection) -> None:
    """The cap of the last 24 hours still knows them when the clock is right again."""
    job = make_job(db, status=JobStatus.DONE)
    for _ in range(5):
        make_charge(db, job, cost=7)
    jobs.remove(db, id=job.id)

    prune(db, now=NOW + 400 * DAY_MS)

    assert db.execute("SELECT count(*) FROM charges").fetchone() == (5,)


def test_a_hold_cannot_be_deleted(db: sqlite3.Connection) -> None:
    """Whoever writes, a person with sqlite3 included."""
    charge = make_charge(db, make_job(db))

    with pytest.raises(sqlite3.IntegrityError, match="a hold that counts"):
        db.execute("DELETE FROM charges WHERE id = ?", (charge,))


def test_a_transaction_ends_when_it_is_enough_and_the_next_goes_on(
    db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With rows so large that one is enough each time, all go, a row or twenty steps a transaction."""
    monkeypatch.setattr(enough, "after", lambda: lambda: True)
    for n in range(4):
        job = make_job(db, status=JobStatus.DONE, created_at=NOW - 9 * DAY_MS)
        for step in range(50 * (n == 1)):
            make_step(db, job, name=f"step {step}")
    turns = []

    def turn(act: Any) -> retention.Batch:
        batch: retention.Batch = act(db)
        turns.append((batch.gone, db.execute("SELECT count(*) FROM steps").fetchone()[0]))
        return batch

    assert retention.walk(retention.finished_jobs(UnixMs(NOW), 0), turn) == 4
    assert turns == [(1, 50), (0, 30), (0, 10), (1, 0), (1, 0), (1, 0)]


def test_too_many_events_go_the_oldest_first(db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.store.events.prune.__kwdefaults__", {"keep": 5, "batch": 500})
    monkeypatch.setattr("runner.store.events.too_many.__kwdefaults__", {"keep": 5})
    for n in range(12):
        make_event(db, f"number {n}")

    assert prune(db)["events"] == 7
    assert db.execute("SELECT text FROM events ORDER BY id LIMIT 1").fetchone() == ("number 7",)
