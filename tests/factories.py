"""Rows of a real database, with everything a test is not about filled in.

Each takes the connection of an open transaction, or of none: SQLite then commits every statement by itself.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from runner.fingerprint import fingerprint
from runner.store import attempts, breakers, charges, controls, events, jobs, runners, schedules
from runner.store.attempts import Outcome
from runner.store.breakers import BreakerState
from runner.store.charges import NewCharge
from runner.store.db import Database
from runner.store.jobs import Job, JobStatus, NewJob
from runner.store.leases import Lease
from runner.store.runners import Runner, RunState
from runner.units import DAY_MS, HOUR_MS, MicroUsd, UnixMs

NOW = UnixMs(1_900_000_000_000)
"""2030-03-17T17:46:40Z: far enough ahead that a forgotten wall clock is noticed."""

_numbers = itertools.count(1)


class ManualClock:
    """Time that a test moves by hand."""

    def __init__(self, now: int = NOW) -> None:
        self._now = now

    def now(self) -> UnixMs:
        """Wall time."""
        return UnixMs(self._now)

    def advance(self, ms: int) -> None:
        """Let time pass."""
        self._now += ms


def new_database(path: Path) -> Database:
    """An empty database, as the migrations leave it; they run once a process, for 50 ms on a core."""
    with path.open("xb") as file:
        file.write(_migrated())
    path.chmod(0o600)
    return Database.open(path)


@cache
def _migrated() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "agent.db"
        Database.open(path, create=True).close()
        return path.read_bytes()


def make_job(
    db: sqlite3.Connection,
    *,
    key: str | None = None,
    task: str = "digest",
    payload: object = None,
    status: JobStatus = JobStatus.PENDING,
    created_at: int = NOW,
    not_before: int | None = None,
    attempts: int | None = None,
    max_attempts: int = 4,
    max_usd: int | None = None,
    priority: int = 0,
    error: str | None = None,
    result: object = None,
    waiting_on: str | None = None,
    runner: str = "runner-1",
    finished_at: int | None = None,
) -> Job:
    """A job in any state; a dead one has used up its attempts and has an error."""
    key = key if key is not None else f"{task}-{next(_numbers):04}"
    id = jobs.insert(
        db,
        NewJob(
            key=key,
            task=task,
            payload=json.dumps(payload if payload is not None else {}),
            not_before=UnixMs(not_before if not_before is not None else created_at),
            max_attempts=max_attempts,
            priority=priority,
            max_usd=MicroUsd(max_usd) if max_usd is not None else None,
        ),
        now=UnixMs(created_at),
    )
    assert id is not None, f"there is a job {key!r} already"
    finished = status not in (JobStatus.PENDING, JobStatus.RUNNING)
    counted = attempts if attempts is not None else max_attempts if status is JobStatus.DEAD else int(finished)
    said = error if error is not None else "ValueError: it does not work" if status is JobStatus.DEAD else None
    running = status is JobStatus.RUNNING
    change = {
        "status": status,
        "attempts": counted,
        "starts": counted + running,
        "lease": f"lease-{id}" if running else None,
        "lease_until": NOW + DAY_MS if running else None,
        "runner": runner if running else None,
        "error": said,
        "fingerprint": fingerprint(said, task=task) if said else None,
        "result": json.dumps(result) if result is not None else None,
        "waiting_on": waiting_on,
        "waiting_gate": "retry" if waiting_on else None,
        "finished_at": (finished_at if finished_at is not None else created_at) if finished else None,
    }
    _update(db, "jobs", change, id)
    job = jobs.by_key(db, key)
    assert job is not None
    return job


def make_attempt(
    db: sqlite3.Connection,
    job: Job,
    *,
    n: int = 1,
    outcome: Outcome | None = Outcome.RETRY,
    started_at: int = NOW,
    lasted_ms: int = 2_000,
    error: str | None = None,
    tail: str | None = None,
    runner: str = "runner-1",
) -> None:
    """One start of a job; outcome None: it is still going on."""
    attempts.start(db, job_id=job.id, n=n, runner=runner, now=UnixMs(started_at))
    if outcome is not None:
        ended = UnixMs(started_at + lasted_ms)
        attempts.end(db, job_id=job.id, n=n, outcome=outcome, now=ended, error=error, tail=tail)
    db.execute("UPDATE jobs SET starts = max(starts, ?) WHERE id = ?", (n, job.id))


def make_running(db: sqlite3.Connection, *, started_at: int = NOW, **fields: Any) -> Job:
    """A job at work, with its attempt and its lease."""
    job = make_job(db, status=JobStatus.RUNNING, **fields)
    make_attempt(db, job, n=job.starts, outcome=None, started_at=started_at)
    return job


def lease_of(job: Job) -> Lease:
    """The lease under which a running job may be written."""
    assert job.lease is not None
    assert job.runner is not None
    assert job.lease_until is not None
    return Lease(runner=job.runner, token=job.lease, until=job.lease_until)


def make_step(db: sqlite3.Connection, job: Job, *, name: str = "fetch", result: object = None, n: int = 1) -> None:
    """A recorded step, whatever state the job is in."""
    db.execute(
        "INSERT INTO steps (job_id, name, result, n, at) VALUES (?, ?, ?, ?, ?)",
        (job.id, name, json.dumps(result), n, NOW),
    )


def make_charge(
    db: sqlite3.Connection,
    job: Job,
    *,
    day: str = "2030-03-17",
    hold: int = 20_000,
    cost: int | None = None,
    held_at: int = NOW,
    n: int = 1,
    model: str = "claude-haiku-4-5",
    upstream: str = "anthropic",
    runner: str = "runner-1",
) -> int:
    """A call: held, or settled at `cost`."""
    charge = charges.hold(
        db,
        NewCharge(
            day=day,
            zone="UTC",
            job_id=job.id,
            n=n,
            task=job.task,
            upstream=upstream,
            model=model,
            runner=runner,
            hold=MicroUsd(hold),
        ),
        now=UnixMs(held_at),
    )
    if cost is not None:
        charges.settle(db, charge, cost=MicroUsd(cost), usage="{}", now=UnixMs(held_at + 1_000))
    return charge


def make_event(
    db: sqlite3.Connection,
    text: str = "something happened",
    *,
    level: str = events.INFO,
    event: str = "job.log",
    at: int = NOW,
    job: Job | None = None,
    task: str | None = None,
) -> None:
    """One thing that happened."""
    events.record(
        db,
        now=UnixMs(at),
        level=level,
        event=event,
        text=text,
        task=job.task if job else task,
        job=job.key if job else None,
    )


def make_breaker(
    db: sqlite3.Connection,
    name: str = "anthropic/claude-haiku-4-5",
    *,
    state: BreakerState = BreakerState.OPEN,
    retry_at: int | None = NOW + 300_000,
    reason: str = "5 failures in a row: 529 overloaded",
) -> None:
    """A breaker that was tripped, or one that is closed again."""
    now = UnixMs(NOW)
    breakers.trip(db, name, reason=reason, retry_at=UnixMs(retry_at) if retry_at is not None else None, now=now)
    if state is BreakerState.CLOSED:
        breakers.reset(db, name, reason=reason, now=now)
    elif state is BreakerState.HALF_OPEN:
        db.execute("UPDATE breakers SET state = 'half_open', trial = 1, trial_until = ? WHERE name = ?", (NOW, name))


def a_runner(
    *,
    id: str = "runner-1",
    pid: int = 4121,
    boot: str = "boot-1",
    state: RunState = RunState.RUNNING,
    reason: str | None = None,
    heartbeat_at: int = NOW,
    started_at: int = NOW - HOUR_MS,
    stop_seq: int = 0,
    ended: str | None = None,
) -> Runner:
    """What a runner says of itself."""
    return Runner(
        id=id,
        pid=pid,
        pid_started="1",
        boot=boot,
        host="box",
        version="0.1.0",
        state=state,
        reason=reason,
        started_at=UnixMs(started_at),
        heartbeat_at=UnixMs(heartbeat_at),
        stop_seq=stop_seq,
        ended=ended,
    )


def make_runner(db: sqlite3.Connection, **fields: Any) -> None:
    """Its row. That it lives is told by the lock: see `hold_lock`."""
    runners.announce(db, a_runner(**fields))


def make_settings(
    db: sqlite3.Connection, *, daily_usd: int = 10_000_000, timezone: str = "UTC", workers: int = 2
) -> None:
    """What a runner tells of its configuration."""
    values = {"daily_usd": str(daily_usd), "timezone": timezone, "workers": str(workers)}
    controls.put_settings(db, values, now=UnixMs(NOW))


def make_schedule(
    db: sqlite3.Connection,
    name: str = "digest",
    *,
    spec: str = "0 6 * * * Europe/Berlin",
    next_at: int | None = NOW + 3_600_000,
    last_slot: int | None = None,
    skipped: str | None = None,
) -> None:
    """A schedule, and its newest slot when there was one."""
    schedules.declare(db, name=name, spec=spec, now=UnixMs(NOW))
    schedules.set_next(db, name=name, at=UnixMs(next_at) if next_at is not None else None)
    if last_slot is not None:
        key = None if skipped else f"{name}-{last_slot}"
        schedules.take_slot(db, schedule=name, due_at=UnixMs(last_slot), now=UnixMs(NOW), job_key=key, skipped=skipped)


def _update(db: sqlite3.Connection, table: str, change: dict[str, object], id: int) -> None:
    columns = ", ".join(f"{name} = ?" for name in change)
    db.execute(f"UPDATE {table} SET {columns} WHERE id = ?", (*change.values(), id))
