"""Eight processes on one ledger, killed at any moment: no overspend, no lost hold, no second end, one trial."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import count
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from runner.gate import ledger
from runner.gate.verdict import Blow, Money, Verdict
from runner.store import breakers, charges
from runner.store.breakers import BreakerState
from runner.store.db import Database
from runner.store.jobs import Job
from runner.units import MINUTE_MS, MicroUsd, UnixMs
from tests.factories import NOW, make_running
from tests.runner.gate import callers
from tests.runner.gate.callers import MOST_HOLD, PATIENCE_S, USAGE, call_of, policy

PROCESSES = 8
CALLS = 250
"""Of each process."""
KILLS = 12
CAP = 100_000
_spawn = multiprocessing.get_context("spawn")
pytestmark = pytest.mark.timeout(2 * PATIENCE_S)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database.open(tmp_path / "agent.db", create=True)
    yield opened
    opened.close()


class Crowd:
    """The processes, and one in the place of each that is killed."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.folder = database.path.parent
        self.enough = self.folder / "enough"
        self.killed = 0
        self._seeds = count(1)
        self._living: dict[BaseProcess, int] = {}
        """With the place of each: its job."""
        self._jobs = [make_running(database.connection) for _ in range(PROCESSES)]
        for place in range(PROCESSES):
            self._start(place)

    def _start(self, place: int) -> None:
        seed = next(self._seeds)
        process = _spawn.Process(
            target=callers.spend,
            args=(self.database.path, self._jobs[place], self.folder / f"journal-{seed}", self.enough),
            kwargs={"seed": seed, "cap": CAP, "calls": CALLS},
            daemon=True,
        )
        process.start()
        self._living[process] = place

    def spent(self) -> int:
        row = self.database.connection.execute("SELECT coalesce(sum(cost), 0) FROM spend").fetchone()
        assert row[0] <= CAP
        return int(row[0])

    def made(self) -> int:
        return int(self.database.connection.execute("SELECT count(*) FROM charges").fetchone()[0])

    def kill(self, chance: random.Random) -> None:
        """SIGKILL one that has begun, and start another in its place."""
        begun = [one for one in self._living if one.is_alive()]
        victim = chance.choice(begun)
        assert victim.pid is not None
        os.kill(victim.pid, signal.SIGKILL)
        victim.join(PATIENCE_S)
        assert victim.exitcode == -signal.SIGKILL
        self.killed += 1
        self._start(self._living.pop(victim))

    def wait(self) -> None:
        """No more is killed: let each end when it has made its calls."""
        self.enough.touch()
        for process in self._living:
            process.join(PATIENCE_S)
        assert [process.exitcode for process in self._living] == [0] * PROCESSES

    def journals(self) -> dict[int, list[dict[str, Any]]]:
        """What was seen committed of each charge, in order; under 0, what was refused."""
        seen: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for path in sorted(self.folder.glob("journal-*")):
            for line in path.read_text().splitlines():
                fact = json.loads(line)
                seen[fact.get("charge", 0)].append(fact)
        return seen


def test_processes_killed_at_random_neither_overspend_nor_lose_nor_settle_twice(database: Database) -> None:
    """Every total equals its rows at the end, and every row is what the process that wrote it was told."""
    chance, crowd = random.Random(20_270_102), Crowd(database)
    deadline = time.monotonic() + PATIENCE_S
    for moment in sorted(chance.sample(range(50, PROCESSES * CALLS // 2), KILLS)):
        while crowd.made() < moment:
            assert time.monotonic() < deadline, f"{crowd.made()} of {moment} calls came"
            assert crowd.spent() <= CAP
        crowd.kill(chance)
    crowd.wait()

    assert crowd.killed == KILLS
    db, seen = database.connection, crowd.journals()
    assert {fact["refused"] for fact in seen.pop(0)} == {"cap:day"}, "what refused was the cap alone"
    assert crowd.spent() > CAP - MOST_HOLD, "and it was used up"
    assert len(seen) > PROCESSES * CALLS // 4
    rows = {row[0]: row[1:] for row in db.execute("SELECT id, state, hold, cost, ended_at FROM charges")}
    assert set(seen) <= set(rows), "no hold that was told is lost"
    assert len(rows) - len(seen) <= KILLS, "one that was not told belongs to a process that died of it"
    for charge, facts in seen.items():
        _check(facts, *rows[charge])

    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    in_flight = charges.orphans(db, runner="the next one")
    assert len(in_flight) == sum(row[0] == "held" and row[3] is None for row in rows.values()) <= KILLS
    sums = "coalesce(sum(iif(state = 'settled', cost, 0)), 0), coalesce(sum(iif(state = 'held', hold, 0)), 0)"
    total = db.execute(f"SELECT {sums} FROM charges").fetchone()
    assert total == db.execute("SELECT sum(settled), sum(held) FROM spend_totals").fetchone()
    assert total == db.execute("SELECT sum(settled), sum(held) FROM jobs").fetchone()
    assert (sum(total),) == db.execute("SELECT sum(cost) FROM attempts").fetchone()
    assert sum(total) == crowd.spent()


def _check(facts: list[dict[str, Any]], state: str, hold: int, cost: int | None, ended_at: int | None) -> None:
    """A row against what its process was told of it; what died in the middle may be one step further."""
    begun, *rest = facts
    refined = [fact["refined"] for fact in rest if "refined" in fact]
    settled = [fact["settled"] for fact in rest if "settled" in fact]
    ended = [fact["ended"] for fact in rest if "ended" in fact]
    assert hold <= (refined[0] if refined else begun["hold"])
    if settled:
        assert (state, cost) == ("settled", settled[0]), "the first word counts"
    elif ended == ["release"]:
        assert (state, cost) == ("released", None)
    elif ended == ["stand"]:
        assert (state, cost) == ("held", None)
        assert ended_at is not None
    else:
        assert state in ("held", "settled", "released")


def test_of_eight_processes_one_gets_the_trial(database: Database) -> None:
    """Of 200 calls at once: none while it cools down, one when it may try, again one after that failed, then all."""
    db, name = database.connection, "house/house-model"
    jobs = [make_running(db) for _ in range(PROCESSES)]
    for _ in range(callers.COOL_DOWN.failures):
        _end(database, jobs[0], NOW, fails=True)
    cooling, first, second, closed = (UnixMs(NOW + minutes * MINUTE_MS) for minutes in (0, 2, 4, 5))
    barrier = _spawn.Barrier(PROCESSES + 1, timeout=PATIENCE_S)
    journals = [database.path.with_name(f"journal-{place}") for place in range(PROCESSES)]
    crowd = [
        _spawn.Process(
            target=callers.hammer,
            args=(database.path, job, journal, barrier),
            kwargs={"name": f"runner-{place}", "moments": (cooling, first, second, closed)},
        )
        for place, (job, journal) in enumerate(zip(jobs, journals, strict=True))
    ]
    for process in crowd:
        process.start()
    for moment in (cooling, first, second, closed):
        barrier.wait()
        barrier.wait()
        trial = breakers.get(db, name)
        assert trial is not None
        if moment in (first, second):
            assert trial.state is BreakerState.HALF_OPEN
            _end_trial(database, jobs[0], trial.trial or 0, moment, fails=moment == first)
    for process in crowd:
        process.join(PATIENCE_S)

    assert [process.exitcode for process in crowd] == [0] * PROCESSES
    went = [json.loads(line)["now"] for journal in journals for line in journal.read_text().splitlines()]
    assert {moment: went.count(moment) for moment in (cooling, first, second)} == {cooling: 0, first: 1, second: 1}
    assert went.count(closed) == PROCESSES * 25


def _end(database: Database, job: Job, now: UnixMs, *, fails: bool) -> None:
    call = call_of(job, hold=1, runner="runner-0")
    with database.write() as db:
        charge = ledger.admit(db, call, policy(10**9), stop_reason=None, now=now)
    assert isinstance(charge, int)
    _end_trial(database, job, charge, now, fails=fails)


def _end_trial(database: Database, job: Job, charge: int, now: UnixMs, *, fails: bool) -> None:
    call = call_of(job, hold=1, runner="runner-0")
    failure = Verdict(money=Money.RELEASE, blow=Blow.FAILURE, note="HTTP 503")
    with database.write() as db:
        if fails:
            ledger.conclude(db, charge, call, policy(1), failure, now=now, rng=random.Random(1))
        else:
            ledger.settle(db, charge, call, policy(1), cost=MicroUsd(1), usage=USAGE, now=now)
