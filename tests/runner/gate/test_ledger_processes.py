"""Eight processes on one ledger, some of them killed: no overspend, no lost hold."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from runner.gate.admission import Refusal
from runner.store.db import Database
from runner.store.jobs import Job
from tests.factories import make_running
from tests.runner.gate.test_ledger import FREED, STANDS, admit, conclude, make_call, make_policy, settle

PROCESSES = 8
CALLS = 60
CAP = 2_000
_spawn = multiprocessing.get_context("spawn")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database.open(tmp_path / "agent.db", create=True)
    yield opened
    opened.close()


def spend(path: Path, job: Job, seed: int, start: Barrier, dies_at: int | None) -> None:
    """Make calls as fast as they go; some settle, some are freed, some stand."""
    rng = random.Random(seed)
    database, policy = Database.open(path), make_policy(daily=CAP)
    start.wait()
    for number in range(CALLS):
        call = make_call(job, hold=rng.randint(1, 40))
        with database.write() as db:
            charge = admit(db, call, policy)
        if number == dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if isinstance(charge, Refusal):
            continue
        end = rng.random()
        with database.write() as db:
            if end < 0.6:
                settle(db, charge, call, rng.randint(0, call.hold))
            else:
                conclude(db, charge, call, FREED if end < 0.8 else STANDS)


@pytest.mark.parametrize("killed", [0, 3])
def test_many_processes_never_pass_the_cap(database: Database, killed: int) -> None:
    """A process that dies between hold and settle leaves its hold counted."""
    start = _spawn.Barrier(PROCESSES)
    workers = [
        _spawn.Process(
            target=spend,
            args=(database.path, make_running(database.connection), seed, start, 5 if seed < killed else None),
        )
        for seed in range(PROCESSES)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)

    assert sorted(worker.exitcode or 0 for worker in workers) == [-signal.SIGKILL] * killed + [0] * (PROCESSES - killed)
    db = database.connection
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    (total,) = db.execute("SELECT cost FROM spend").fetchone()
    assert total <= CAP
    assert total > CAP - 40  # and it was used up: what refused was the cap
    assert (total,) == db.execute("SELECT sum(counted) FROM charges").fetchone()
    assert (total,) == db.execute("SELECT sum(settled + held) FROM jobs").fetchone()
    assert db.execute("SELECT count(*) FROM charges WHERE state = 'held' AND ended_at IS NULL").fetchone()[0] <= killed
