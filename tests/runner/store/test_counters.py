"""Whatever is done in whatever order, the counters kept by triggers say what counting the rows would say."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from runner import upkeep
from runner.care import retention
from runner.errors import LeaseLost
from runner.store import attempts, charges, jobs, leases
from runner.store.attempts import Outcome
from runner.store.db import Database
from runner.store.jobs import Job, JobStatus
from runner.store.leases import Lease
from runner.units import MicroUsd, UnixMs
from tests.factories import NOW, make_charge, make_job

BOARD = "SELECT pending, running, done, halted, cancelled, dead FROM board"
RECOUNT = """
SELECT count(*) FILTER (WHERE status = 'pending'), count(*) FILTER (WHERE status = 'running'),
       count(*) FILTER (WHERE status = 'done'), count(*) FILTER (WHERE status = 'halted'),
       count(*) FILTER (WHERE status = 'cancelled'), count(*) FILTER (WHERE status = 'dead') FROM jobs
"""
TOTALS = "SELECT day, task, settled, held FROM spend_totals ORDER BY day, task"
SUMS = """
SELECT day, task, coalesce(sum(cost), 0), coalesce(sum(hold) FILTER (WHERE state = 'held'), 0)
  FROM charges GROUP BY day, task ORDER BY day, task
"""
WRONG_JOBS = """
SELECT key FROM jobs WHERE (settled, held) IS NOT (
    SELECT coalesce(sum(cost), 0), coalesce(sum(hold) FILTER (WHERE state = 'held'), 0)
      FROM charges WHERE job_id = jobs.id)
"""
WRONG_ATTEMPTS = """
SELECT job_id, n FROM attempts WHERE cost <> (
    SELECT coalesce(sum(counted), 0) FROM charges WHERE charges.job_id = attempts.job_id AND charges.n = attempts.n)
"""
ALL = "SELECT sum(settled + held) FROM spend_totals"


class Home(RuleBasedStateMachine):
    """Jobs and charges, moved by the store's own functions and by a hand with `sqlite3`."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.database = Database.open(Path(self.folder.name) / "agent.db", create=True)
        self.db = self.database.connection
        self.db.execute("PRAGMA synchronous = OFF")  # nothing here is about a power cut
        self.tokens = 0
        self.gone: set[int] = set()

    def teardown(self) -> None:
        self.database.close()
        self.folder.cleanup()

    def some(self, number: int, where: str = "TRUE") -> Job | None:
        """Any of the jobs that fit."""
        keys = self.db.execute(f"SELECT key FROM jobs WHERE {where} ORDER BY id").fetchall()
        return jobs.by_key(self.db, keys[number % len(keys)][0]) if keys else None

    def seq(self) -> int:
        return int(self.db.execute("SELECT change_seq FROM board").fetchone()[0])

    @rule(task=st.sampled_from(("digest", "triage")), priority=st.integers(-9, 9))
    def enqueue(self, task: str, priority: int) -> None:
        before = self.seq()
        make_job(self.db, task=task, priority=priority)
        assert self.seq() > before

    @rule()
    def claim(self) -> None:
        self.tokens += 1
        lease = Lease(runner="gone" if self.tokens % 3 else "me", token=f"t{self.tokens}", until=UnixMs(NOW))
        job = leases.claim(self.db, now=UnixMs(NOW), lease=lease)
        if job is not None:
            attempts.start(self.db, job_id=job.id, n=job.starts, runner=lease.runner, now=UnixMs(NOW))

    @rule(
        number=st.integers(0, 50),
        status=st.sampled_from((JobStatus.DONE, JobStatus.HALTED, JobStatus.DEAD, JobStatus.CANCELLED)),
    )
    def finish(self, number: int, status: JobStatus) -> None:
        job = self.some(number, "status = 'running'")
        if job is not None:
            leases.finish(self.db, id=job.id, token=job.lease or "", status=status, now=UnixMs(NOW))
            attempts.end(self.db, job_id=job.id, n=job.starts, outcome=Outcome.DONE, now=UnixMs(NOW))

    @rule(number=st.integers(0, 50), counted=st.booleans())
    def put_back(self, number: int, counted: bool) -> None:
        job = self.some(number, "status = 'running'")
        if job is not None:
            leases.put_back(
                self.db,
                id=job.id,
                token=job.lease or "",
                not_before=UnixMs(NOW),
                gate="retry",
                fact="",
                counted=counted,
            )

    @rule(number=st.integers(0, 50))
    def write_with_a_lost_token(self, number: int) -> None:
        job = self.some(number)
        if job is not None:
            before = self.db.execute("SELECT * FROM jobs").fetchall()
            with suppress(LeaseLost):
                leases.finish(self.db, id=job.id, token="never given", status=JobStatus.DONE, now=UnixMs(NOW))
            assert self.db.execute("SELECT * FROM jobs").fetchall() == before

    @rule(number=st.integers(0, 50))
    def cancel(self, number: int) -> None:
        job = self.some(number)
        if job is not None:
            jobs.cancel(self.db, id=job.id, now=UnixMs(NOW))

    @rule(number=st.integers(0, 50))
    def replay(self, number: int) -> None:
        job = self.some(number)
        if job is not None:
            assert jobs.replay(self.db, id=job.id, now=UnixMs(NOW)) == (job.status is JobStatus.DEAD)

    @rule(number=st.integers(0, 50))
    def remove(self, number: int) -> None:
        job = self.some(number)
        if job is not None and jobs.remove(self.db, id=job.id):
            self.gone.add(job.id)

    @rule()
    def take_back(self) -> None:
        upkeep.take_back(self.db, runner="me", now=UnixMs(NOW))
        assert self.db.execute("SELECT count(*) FROM jobs WHERE runner = 'gone'").fetchone() == (0,)

    @rule(keep=st.integers(0, 10), batch=st.integers(1, 10))
    def prune(self, keep: int, batch: int) -> None:
        kept = "SELECT count(*) FROM jobs WHERE status IN ('pending', 'running', 'dead') OR held > 0"
        before = self.db.execute(kept).fetchone()
        step = retention.finished_jobs(UnixMs(0), keep, batch=batch)
        would = retention.count(step, self.db)
        assert retention.walk(step, lambda act: act(self.db)) == would
        assert self.db.execute(kept).fetchone() == before

    @rule(number=st.integers(0, 50), hold=st.integers(0, 1_000), day=st.sampled_from(("2030-01-01", "2030-01-02")))
    def hold(self, number: int, hold: int, day: str) -> None:
        job = self.some(number, "starts > 0")  # only an attempt makes calls
        if job is not None:
            make_charge(self.db, job, hold=hold, day=day, n=job.starts)

    @precondition(lambda self: self.db.execute("SELECT 1 FROM charges").fetchone())
    @rule(number=st.integers(0, 50), amount=st.integers(0, 2_000), how=st.sampled_from(("settle", "release", "lower")))
    def end_charge(self, number: int, amount: int, how: str) -> None:
        ids = [row[0] for row in self.db.execute("SELECT id FROM charges ORDER BY id")]
        id = ids[number % len(ids)]
        state = self.db.execute("SELECT state FROM charges WHERE id = ?", (id,)).fetchone()[0]
        if how == "settle":
            changed = charges.settle(self.db, id, cost=MicroUsd(amount), usage="{}", now=UnixMs(NOW))
            assert changed == (state == "held")
        elif how == "release":
            assert charges.release(self.db, id, note="", now=UnixMs(NOW)) == (state == "held")
        else:
            self.db.execute("UPDATE charges SET hold = min(hold, ?) WHERE id = ? AND state = 'held'", (amount, id))

    @precondition(lambda self: self.db.execute("SELECT 1 FROM jobs WHERE status = 'pending'").fetchone())
    @rule()
    def by_hand(self) -> None:
        """A person with `sqlite3` gives up on everything that waits."""
        self.db.execute("UPDATE jobs SET status = 'cancelled', finished_at = 0 WHERE status = 'pending'")

    @invariant()
    def the_counters_are_true(self) -> None:
        assert self.db.execute(BOARD).fetchone() == self.db.execute(RECOUNT).fetchone()
        assert self.db.execute(TOTALS).fetchall() == self.db.execute(SUMS).fetchall()
        assert self.db.execute(WRONG_JOBS).fetchall() == []
        assert self.db.execute(WRONG_ATTEMPTS).fetchall() == []
        spent = self.db.execute(ALL).fetchone()
        assert spent == self.db.execute("SELECT sum(counted) FROM charges").fetchone()

    @invariant()
    def no_removed_id_comes_back(self) -> None:
        there = {row[0] for row in self.db.execute("SELECT id FROM jobs")}
        assert not there & self.gone


TestCounters = Home.TestCase
TestCounters.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_the_invariant_notices_a_missing_trigger(tmp_path: Path) -> None:
    """Without its trigger the board is wrong after one job: the machine above can fail."""
    database = Database.open(tmp_path / "agent.db", create=True)
    database.connection.execute("DROP TRIGGER jobs_added")
    make_job(database.connection)
    board, rows = (database.connection.execute(query).fetchone() for query in (BOARD, RECOUNT))
    database.close()
    assert board != rows
