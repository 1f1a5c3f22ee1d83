"""A home with a morning's worth of work in it, for pictures and for trying keys by hand.

python -m tests.console.seed DIR    fills DIR and plays its runner: beats, and answers stops, until it is ended
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from pathlib import Path
from zoneinfo import ZoneInfo

from runner.home import Home
from runner.store import controls, runners
from runner.store.attempts import Outcome
from runner.store.db import Database
from runner.store.jobs import JobStatus
from runner.store.runners import RunState
from runner.units import HOUR_MS, MINUTE_MS, SystemClock, UnixMs, day_of
from tests import factories as make

LOG = (
    ("research", "info", "job.step", "step search recorded, 12 pages found"),
    ("review", "info", "call.settled", "claude-haiku-4-5 cost $0.004, $0.012 was held"),
    ("triage", "info", "job.done", "done in 39s for $0.060"),
    ("summarise", "info", "job.start", "attempt 2 of 4 begins"),
    ("research", "info", "job.step", "step fetch recorded, 3 pages"),
    ("review", "info", "call.settled", "claude-haiku-4-5 cost $0.011, $0.020 was held"),
    ("summarise", "warn", "job.retry", "attempt 1 of 4 failed: HTTP 504; again in 8s"),
    ("research", "info", "call.settled", "claude-haiku-4-5 cost $0.041, $0.100 was held"),
)
"""Task, level, event and text of a morning's log."""


def seed(database: Database, now: int, *, pid: int) -> None:
    """Write the rows."""
    day = day_of(now, ZoneInfo("UTC"))
    with database.write() as db:
        make.make_settings(db, daily_usd=10_000_000, workers=4)
        make.make_runner(db, pid=pid, heartbeat_at=now, started_at=now - 9 * HOUR_MS)
        make.make_schedule(
            db, "digest", spec="0 6 * * * Europe/Berlin", next_at=now + 6 * HOUR_MS, last_slot=now - 8 * HOUR_MS
        )
        make.make_schedule(
            db, "triage", spec="every 1h UTC", next_at=now + 14 * MINUTE_MS, last_slot=now - 46 * MINUTE_MS
        )
        make.make_schedule(
            db,
            "review",
            spec="0 2 * * 1-5 Europe/Berlin",
            next_at=now + 11 * HOUR_MS,
            last_slot=now - 13 * HOUR_MS,
            skipped="the machine slept; 3h late, 1h is the most",
        )
        for n in range(60):
            at = now - 9 * HOUR_MS + n * 8 * MINUTE_MS
            job = make.make_job(
                db,
                key=f"triage-2030-{n:03}",
                task="triage",
                status=JobStatus.DONE,
                created_at=at,
                finished_at=at + 40_000,
                result={"answer": "Two mails need you today."},
            )
            make.make_attempt(db, job, outcome=Outcome.DONE, started_at=at + 1_000, lasted_ms=39_000)
            make.make_charge(db, job, day=day, cost=41_000 + n * 310, held_at=at)
        for n, (task, tries, minutes, cost) in enumerate(
            [("research", 0, 4, 141_000), ("summarise", 1, 1, 3_100), ("review", 0, 26, 912_000)]
        ):
            started = now - minutes * MINUTE_MS - 7_000
            job = make.make_running(
                db,
                key=f"{task}-4f2a90c1d2e3b4a{n}",
                task=task,
                attempts=tries,
                max_usd=2_000_000,
                created_at=started - 20_000,
                started_at=started,
            )
            make.make_charge(db, job, day=day, cost=cost, held_at=now - 50 * MINUTE_MS, n=job.starts)
            if task == "research":
                make.make_charge(db, job, day=day, hold=100_000, held_at=now - 10_000, n=job.starts)
        for n in range(6):
            waits = "retry 2 of 4 in 8s: 504 from upstream" if n == 2 else None
            make.make_job(
                db,
                key=f"summarise-9b1{n}",
                task="summarise",
                created_at=now - (3 + n) * MINUTE_MS,
                attempts=int(n == 2),
                waiting_on=waits,
                error="HTTP 504" if n == 2 else None,
            )
        for n, (task, error, cost) in enumerate(
            [
                ("research", "TimeoutError: upstream 504 after 60s, step 7 web.fetch", 113_000),
                ("summarise", "TimeoutError: upstream 504 after 60s, step 1 ask", 20_000),
                ("intake", "Dead: the box is gone", 0),
            ]
        ):
            died = now - (12 + 13 * n) * MINUTE_MS
            job = make.make_job(
                db,
                key=f"{task}-c0ffee{n}",
                task=task,
                status=JobStatus.DEAD,
                created_at=died - 9 * MINUTE_MS,
                finished_at=died,
                error=f"{error}\n  in tasks/{task}.py line 41",
                payload={"box": "inbox", "limit": 40},
            )
            for attempt in range(1, 5):
                at = died - (5 - attempt) * 2 * MINUTE_MS
                make.make_attempt(
                    db,
                    job,
                    n=attempt,
                    started_at=at,
                    lasted_ms=60_300,
                    error=error,
                    outcome=Outcome.DEAD if attempt == 4 else Outcome.RETRY,
                    tail="fetched 3 pages\nasking for the 4th\n" if cost else None,
                )
            if cost:
                make.make_charge(db, job, day=day, cost=cost, held_at=died - MINUTE_MS, n=4)
                make.make_step(db, job, name="fetch", result=["page 1", "page 2", "page 3"])
            make.make_event(db, f"dead after 4 attempts: {error}", level="error", event="job.dead", at=died, job=job)
        for n in range(40):
            task, level, event, text = LOG[n % len(LOG)]
            make.make_event(db, text, level=level, event=event, at=now - (40 - n) * 9_000, task=task)


def play(home: Home, database: Database) -> None:
    """Be a runner as far as a console can tell: hold the lock, beat, answer the stop."""
    clock = SystemClock()
    with home.lock.open("w") as lock:
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        while True:
            with database.write() as db:
                now = UnixMs(clock.now())
                stop = controls.stop_row(db)
                halted = stop.is_set or home.stop_set()
                runners.move(
                    db,
                    "runner-1",
                    state=RunState.PARKED if halted else RunState.RUNNING,
                    reason="stopped" if halted else None,
                    stop_seq=stop.seq,
                    now=now,
                )
            time.sleep(0.3)


def main() -> None:
    home = Home(Path(sys.argv[1]).absolute())
    home.create()
    database = Database.open(home.db, create=True)
    seed(database, SystemClock().now(), pid=os.getpid())
    play(home, database)


if __name__ == "__main__":
    main()
