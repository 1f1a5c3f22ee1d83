"""Housekeeping: which of the jobs that a runner was lost under is to blame, and what is let go of when."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from runner import upkeep
from runner.care import retention
from runner.care.retention import Batch, Step
from runner.settings import load
from runner.snapshot.why import why
from runner.store import jobs, leases, runners, schedules
from runner.store.db import Database
from runner.store.jobs import Job, JobStatus
from runner.store.leases import MAX_RESCUES, Lease
from runner.store.runners import RunState
from runner.store.writer import Writer
from runner.units import DAY_MS, HOUR_MS, UnixMs
from runner.views import Health, RunnerView, StopView
from tests.factories import NOW, ManualClock, make_attempt, make_job, make_runner


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
        found.append(leases.claim(db, now=UnixMs(NOW), lease=lease))
    return [job for job in found if job is not None]


def finish(db: sqlite3.Connection, job: Job) -> None:
    leases.finish(db, id=job.id, token=job.lease or "", status=JobStatus.DONE, now=UnixMs(NOW))


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


# --- what is let go of ------------------------------------------------------------------------------------------------


def slot(db: sqlite3.Connection, due_at: int, *, fired: bool = True, name: str = "tick", open: bool = False) -> None:
    schedules.take_slot(
        db,
        schedule=name,
        due_at=UnixMs(due_at),
        now=UnixMs(due_at),
        job_key=f"{name}@{due_at}" if fired else None,
        skipped=None if fired else "a reason",
    )
    if not open:
        schedules.close_slot(db, schedule=name, due_at=UnixMs(due_at))


def due_times(db: sqlite3.Connection, name: str = "tick") -> list[int]:
    return [row[0] for row in db.execute("SELECT due_at FROM slots WHERE schedule = ? ORDER BY due_at", (name,))]


def prune_slots(db: sqlite3.Connection, *, now: int = NOW) -> int:
    """One whole round; the batches it took."""
    for batches in range(1, 100):
        if schedules.prune(db, now=UnixMs(now), keep=20, batch=30) < 30:
            return batches
    raise AssertionError("it never ends")


def test_slots_are_kept_by_number_and_by_age(db: sqlite3.Connection) -> None:
    """The newest of each schedule, and all of two days; a schedule that fires every second does not fill the disk."""
    for n in range(100):
        slot(db, NOW - n * HOUR_MS)
    for n in range(5):
        slot(db, NOW - 400 * DAY_MS - n, name="rare")

    assert prune_slots(db) > 1
    assert due_times(db)[0] == NOW - schedules.RECENT_MS
    assert len(due_times(db)) == 49
    assert len(due_times(db, "rare")) == 5


def test_a_slot_that_an_overlap_is_told_by_is_kept(db: sqlite3.Connection) -> None:
    """Those whose job is not over and the newest that fired, however many were skipped after it."""
    for n in range(1, 100):
        slot(db, NOW - n * DAY_MS, fired=n in (95, 97, 99), open=n in (97, 99))

    prune_slots(db)

    assert schedules.open_slots(db, "tick") == [(at := NOW - n * DAY_MS, f"tick@{at}") for n in (99, 97)]
    assert due_times(db)[:3] == [NOW - n * DAY_MS for n in (99, 97, 95)]


def test_slots_of_a_clock_that_was_ahead_are_kept(db: sqlite3.Connection) -> None:
    """They must not fire twice, and what was dealt with before them is still known."""
    slot(db, NOW - DAY_MS)
    for n in range(60):
        slot(db, NOW + 400 * DAY_MS - n * HOUR_MS)

    prune_slots(db)

    assert len(due_times(db)) == 61
    assert [at for at in due_times(db) if at <= NOW] == [NOW - DAY_MS]


def test_a_clock_that_is_ahead_prunes_nothing_that_fires_again_once_it_is_right(db: sqlite3.Connection) -> None:
    for n in range(20):
        slot(db, NOW - n * DAY_MS)

    prune_slots(db, now=NOW + 400 * DAY_MS)

    assert NOW in due_times(db)


def test_a_runner_that_was_killed_standing_by_is_forgotten(db: sqlite3.Connection) -> None:
    """A day later; who holds the home, or still stands by, is not."""
    make_runner(db, id="killed", state=RunState.STANDBY, heartbeat_at=NOW - DAY_MS - 1)
    make_runner(db, id="standing by", state=RunState.STANDBY, heartbeat_at=NOW - 1_000)
    make_runner(db, id="silent", heartbeat_at=NOW - 9 * DAY_MS)

    runners.prune(db, now=UnixMs(NOW))

    assert {row[0] for row in db.execute("SELECT id FROM runners")} == {"standing by", "silent"}


async def test_an_output_file_that_goes_away_while_it_is_looked_at_is_no_fault(
    database: Database, tmp_path: Path, clock: ManualClock
) -> None:
    """Old files go, and the round goes on to its end."""
    outputs = tmp_path / "attempts"
    outputs.mkdir()
    old, new = outputs / "1-1.log", outputs / "2-1.log"
    for path in (old, new):
        path.touch()
    os.utime(old, (0, 0))
    os.utime(new, (NOW / 1000, NOW / 1000))
    (outputs / "gone").symlink_to(tmp_path / "nowhere")  # its name is there and it cannot be looked at
    writer = Writer(database)
    settings = tmp_path / "afk.toml"
    settings.write_text('timezone = "UTC"\n[budget]\ndaily_usd = "1.00"\n')

    await upkeep.Upkeep(
        writer=writer,
        config=load(tmp_path, environ={}),
        database=database.path,
        outputs=outputs,
        clock=clock,
    ).round()
    await writer.close()

    assert {path.name for path in outputs.iterdir()} == {"2-1.log", "gone"}


async def test_what_is_looked_at_rarely_is_so_over_restarts(
    database: Database, tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each round is the only one of its process, as under cron; a clock that was ahead puts nothing off."""
    walked: list[str] = []

    def step(name: str, *, often: bool) -> Step:
        def act(_: sqlite3.Connection, __: int) -> Batch:
            walked.append(name)
            return Batch(0, None)

        return Step(name=name, act=act, look=lambda *_: Batch(0, None), often=often)

    monkeypatch.setattr(retention, "steps", lambda *_, **__: (step("often", often=True), step("rarely", often=False)))
    (tmp_path / "attempts").mkdir()
    (tmp_path / "afk.toml").write_text('timezone = "UTC"\n[budget]\ndaily_usd = "1.00"\n')
    config = load(tmp_path, environ={})
    writer = Writer(database)

    seen = []
    for later_ms in (0, HOUR_MS // 2, HOUR_MS // 2, HOUR_MS // 2, -9 * HOUR_MS):
        clock.advance(later_ms)
        walked.clear()
        await upkeep.Upkeep(
            writer=writer, config=config, database=database.path, outputs=tmp_path / "attempts", clock=clock
        ).round()
        seen.append(walked.copy())
    await writer.close()

    assert seen == [["often", "rarely"], ["often"], ["often", "rarely"], ["often"], ["often", "rarely"]]
