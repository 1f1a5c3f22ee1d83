"""The check finds what is wrong, names it, and finds nothing in a home where all is well."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest

from runner.care.check import Line, Verdict, check
from runner.errors import StoreMissing
from runner.home import Home
from runner.store import incidents, jobs, leases, schedules
from runner.store.attempts import Outcome
from runner.store.jobs import JobStatus
from runner.units import UnixMs
from tests.factories import (
    NOW,
    lease_of,
    make_attempt,
    make_charge,
    make_job,
    make_running,
    make_settings,
)


@pytest.fixture
def full(home: Home, db: sqlite3.Connection) -> Home:
    """A home in the middle of its work."""
    make_settings(db, daily_usd=1_000_000)
    make_job(db, key="waiting")
    at_work = make_running(db, key="at work")
    make_charge(db, at_work, n=at_work.starts)
    done = make_running(db, key="done")
    make_charge(db, done, n=done.starts, hold=60_000, cost=40_000)
    _end(db, done, JobStatus.DONE, Outcome.DONE)
    dead = make_running(db, key="dead")
    make_charge(db, dead, n=dead.starts, hold=60_000, cost=50_000)
    _end(db, dead, JobStatus.DEAD, Outcome.DEAD, error="it broke")
    schedules.take_slot(db, schedule="tick", due_at=UnixMs(NOW), now=UnixMs(NOW), job_key="done")
    return home


def _end(
    db: sqlite3.Connection, job: jobs.Job, status: JobStatus, outcome: Outcome, *, error: str | None = None
) -> None:
    leases.finish(db, id=job.id, token=lease_of(job).token, status=status, now=UnixMs(NOW), error=error)
    db.execute("UPDATE attempts SET outcome = ?, ended_at = ? WHERE job_id = ?", (outcome, NOW, job.id))


def look(home: Home, *, deep: bool = True) -> list[Line]:
    return list(check(home.db, deep=deep, now=UnixMs(NOW)))


def wrong(home: Home, *, deep: bool = True) -> dict[str, Verdict]:
    return {line.name: line.verdict for line in look(home, deep=deep) if line.verdict is not Verdict.OK}


def test_all_is_well_in_a_home_at_work(full: Home) -> None:
    lines = look(full)

    assert {line.verdict for line in lines} == {Verdict.OK}
    assert len({line.name for line in lines}) == len(lines) >= 15
    assert any("$0.11 settled and held today, of $1.00" in line.text for line in lines)


BREAKS = [
    ("counts", "UPDATE board SET done = done + 1"),
    ("ends", "UPDATE attempts SET outcome = NULL WHERE job_id = (SELECT id FROM jobs WHERE key = 'dead')"),
    ("ends", "UPDATE attempts SET outcome = 'retry' WHERE outcome = 'done'"),
    ("ends", "INSERT INTO attempts SELECT job_id, 9, runner, 1, 2, 'done', NULL, NULL, 0 FROM attempts "
             "WHERE outcome = 'done'"),
    ("leases", "UPDATE jobs SET starts = starts + 1 WHERE key = 'at work'"),
    ("leases", "DELETE FROM attempts WHERE outcome IS NULL"),
    ("leases", "UPDATE jobs SET runner = NULL WHERE key = 'at work'"),
    ("dead", "UPDATE dead_groups SET jobs = 2"),
    ("dead", "DELETE FROM dead_groups"),
    ("days", "UPDATE spend_totals SET settled = settled - 1"),
    ("days", "DELETE FROM charges WHERE state = 'settled'"),
    ("costs", "UPDATE jobs SET settled = 0"),
    ("costs", "UPDATE attempts SET cost = cost + 1 WHERE outcome = 'done'"),
    ("slots", "INSERT INTO slots (schedule, due_at, at, job_key) VALUES ('tick', 1, 1, 'done')"),
    ("numbers", "UPDATE sqlite_sequence SET seq = 1 WHERE name = 'jobs'"),
    ("cap", "UPDATE control SET value = '100000' WHERE key = 'config:daily_usd'"),
    ("links", "INSERT INTO steps VALUES (999, 'fetch', '1', 1, 1)"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "sql"), BREAKS)
def test_what_does_not_agree_is_named(full: Home, db: sqlite3.Connection, name: str, sql: str) -> None:
    db.execute("PRAGMA foreign_keys = OFF")
    db.execute(sql)

    assert wrong(full)[name] is Verdict.FAIL
    assert next(line.mend for line in look(full) if line.name == name)


def test_what_mends_itself_is_no_fault(full: Home, db: sqlite3.Connection) -> None:
    """A call in flight whose attempt is over, as a killed runner leaves it; a switch that somebody deleted."""
    db.execute(
        "UPDATE jobs SET status = 'pending', lease = NULL, lease_until = NULL, runner = NULL WHERE key = 'at work'"
    )
    db.execute("UPDATE attempts SET outcome = 'rescued' WHERE outcome IS NULL")
    db.execute("DELETE FROM control WHERE key = 'stop'")

    assert wrong(full) == {"holds": Verdict.WARN, "switch": Verdict.WARN}


def test_an_answer_dearer_than_its_bound_is_told_apart_from_a_broken_cap(full: Home, db: sqlite3.Connection) -> None:
    job = make_job(db)
    make_attempt(db, job)
    make_charge(db, job, hold=100_000, cost=2_000_000)

    (line,) = (line for line in look(full) if line.name == "cap")

    assert line.verdict is Verdict.WARN
    assert "1 answer cost more than its bound" in line.text


def test_an_incident_that_does_not_know_its_alert_is_over_is_named(full: Home, db: sqlite3.Connection) -> None:
    incidents.open(db, alert_key="disk", text="no room", level="error", now=UnixMs(NOW))
    db.execute("INSERT INTO alerts (at, key, level, text, closed_at) VALUES (1, 'disk', 'error', 'no room', 2)")

    assert wrong(full) == {"alerts": Verdict.FAIL}


def test_the_quick_look_leaves_the_rows_alone(full: Home, db: sqlite3.Connection) -> None:
    db.execute("UPDATE board SET done = done + 1")

    assert wrong(full, deep=False) == {}
    assert [line.name for line in look(full, deep=False)] == ["schema", "file", "links"]


def test_a_broken_file_is_one_failed_line_and_nothing_more(full: Home, db: sqlite3.Connection) -> None:
    """Its rows say nothing, and the look ends in words."""
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    with full.db.open("r+b") as file:
        file.seek(8 * 4096)
        file.write(random.Random(1).randbytes(20 * 4096))

    lines = look(full)

    assert lines[-1].name == "file"
    assert lines[-1].verdict is Verdict.FAIL
    assert "afk-runner restore" in (lines[-1].mend or "")


def test_another_schema_is_said_and_a_missing_file_raises(full: Home, db: sqlite3.Connection, tmp_path: Path) -> None:
    db.execute("PRAGMA user_version = 999")

    assert wrong(full) == {"schema": Verdict.FAIL}
    with pytest.raises(StoreMissing):
        list(check(tmp_path / "nowhere", deep=False, now=UnixMs(NOW)))
