"""Our store driven without a runner: what `work/pool.py` writes for each job, in the same order and commit."""

from __future__ import annotations

import secrets
import sqlite3
import time
from dataclasses import dataclass, field
from pathlib import Path

from runner.store import attempts, controls, events, jobs, leases
from runner.store.attempts import Outcome
from runner.store.db import Database
from runner.store.jobs import Job, JobStatus, NewJob
from runner.store.leases import Lease
from runner.units import SystemClock, UnixMs

CLOCK = SystemClock()
RUNNER = "bench-1"


def finish_and_claim(db: sqlite3.Connection, job: Job | None) -> Job | None:
    """End one job and take the next, with the attempt rows and the event a runner leaves."""
    now = CLOCK.now()
    if job is not None:
        leases.finish(db, id=job.id, token=job.lease or "", status=JobStatus.DONE, now=now, result="null")
        attempts.end(db, job_id=job.id, n=job.starts, outcome=Outcome.DONE, now=now)
        events.record(
            db,
            now=now,
            level=events.INFO,
            event="job.done",
            text="done",
            task=job.task,
            job=job.key,
            attempt=job.starts,
        )
    may_start, any_paused = controls.claims(db)
    if not may_start:
        return None
    found = leases.claim(
        db, now=now, lease=Lease(runner=RUNNER, token=secrets.token_hex(8), until=UnixMs(now + 60_000))
    )
    if found is not None and not (any_paused and controls.paused(db, found.task)):
        attempts.start(db, job_id=found.id, n=found.starts, runner=RUNNER, now=now)
    return found


@dataclass(slots=True)
class Store:
    """One database and the keys it was given."""

    path: Path
    database: Database = field(init=False)
    keys: int = 0

    def __post_init__(self) -> None:
        self.database = Database.open(self.path, create=True)

    def fill(self, count: int) -> None:
        """Add due jobs, in one transaction."""
        now = CLOCK.now()
        added = [new_job(self.keys + number, now) for number in range(1, count + 1)]
        self.keys += count
        with self.database.write() as db:
            jobs.insert_all(db, added, now=now)

    def drain(self, workers: int = 1) -> tuple[int, float]:
        """Work off everything that is due, the finishes of all workers in one transaction: how many, and seconds."""
        count = 0
        held: list[Job | None] = [None] * workers
        start = time.perf_counter()
        while True:
            with self.database.write() as db:
                held = [finish_and_claim(db, job) for job in held]
            done = workers - held.count(None)
            if not done:
                return count, time.perf_counter() - start
            count += done

    def bare(self, count: int) -> float:
        """Jobs a second of the same statements in the same commits, with no line of ours between them: the most
        that any program around them could reach."""
        self.fill(count)
        now = CLOCK.now()
        execute = self.database.connection.execute
        taken = ("token", now + 60_000, RUNNER)
        last: tuple[int, int] | None = None
        start = time.perf_counter()
        for _ in range(count + 1):
            execute("BEGIN IMMEDIATE")
            if last is not None:
                execute(leases.FINISH, ("done", now, 1, "null", None, None, last[0], "token"))
                execute(attempts.END, ("done", now, None, None, *last))
                execute(events.RECORD, (now, "info", "job.done", "echo", "echo", last[1], "done"))
            execute(controls.CLAIMS).fetchone()
            row = execute(leases.HEAD, (*taken, now)).fetchone()
            if row is not None:
                last = row[0], row[8]
                execute(leases.TAKE, (*taken, row[0]))
                execute(attempts.START, (*last, RUNNER, now))
            execute("COMMIT")
        seconds = time.perf_counter() - start
        assert row is None
        return count / seconds

    def bare_insert(self, number: int) -> None:
        """One job added in a commit of its own by the statements alone."""
        now = CLOCK.now()
        execute = self.database.connection.execute
        execute("BEGIN IMMEDIATE")
        execute(jobs.INSERT, (f"bare-{number}", "echo", '{"n":1}', now, 4, 0, None, None, None, None, None, now))
        execute(events.RECORD, (now, "info", "job.queued", "echo", f"bare-{number}", None, "queued by ada@cli"))
        execute("COMMIT")

    def pace(self, count: int, workers: int = 1) -> float:
        """Jobs a second of a drain of `count`; the filling does not count."""
        self.fill(count)
        done, seconds = self.drain(workers)
        assert done == count
        return done / seconds

    def keep_finished(self, count: int) -> None:
        """Leave `count` finished jobs with their attempts behind, as a home that has worked for long has."""
        with self.database.write() as db:
            db.execute(
                """
                INSERT INTO jobs (key, task, payload, status, not_before, attempts, starts, max_attempts, result,
                                  created_at, finished_at)
                WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
                SELECT printf('old-%08d', i), 'echo', '{}', 'done', 1, 1, 1, 4, 'null', 1, 2 FROM n
                """,
                (count,),
            )
            db.execute(
                "INSERT INTO attempts (job_id, n, runner, started_at, ended_at, outcome) "
                "SELECT id, 1, 'bench-0', 1, 2, 'done' FROM jobs"
            )
        self.database.checkpoint(truncate=True)


def new_job(number: int, now: UnixMs) -> NewJob:
    """A small job."""
    return NewJob(key=f"echo-{number:08}", task="echo", payload=f'{{"n":{number}}}', not_before=now, max_attempts=4)
