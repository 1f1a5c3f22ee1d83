"""What the processes of the ledger's tests do. Loads little: they are started by the dozen, and killed."""

from __future__ import annotations

import json
import os
import random
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path
from zoneinfo import ZoneInfo

from runner.config import BudgetConfig
from runner.gate import ledger
from runner.gate.admission import Refusal
from runner.gate.call import Call, Policy
from runner.gate.usage import Usage
from runner.gate.verdict import Blow, Money, Verdict
from runner.store.breakers import CoolDown
from runner.store.db import Database
from runner.store.jobs import Job
from runner.units import MicroUsd, UnixMs
from tests.factories import NOW

MOST_HOLD = 1_000
PATIENCE_S = 600.0
"""How long one waits for its turn, for another process that has it may stand still."""
COOL_DOWN = CoolDown(failures=5, first_ms=60_000, longest_ms=60_000, rate_calls=1_000_000)
USAGE = Usage(model="house-model", input=1, output=1)
STANDS = Verdict(money=Money.STAND, blow=Blow.NEUTRAL, note="nobody knows")
FREED = Verdict(money=Money.RELEASE, blow=Blow.NEUTRAL, note="nothing was sold")


def policy(cap: int) -> Policy:
    return Policy(zone=ZoneInfo("UTC"), budget=BudgetConfig(daily_usd=MicroUsd(cap)), cool_down=COOL_DOWN)


def call_of(job: Job, *, hold: int, runner: str) -> Call:
    return Call(
        job_id=job.id,
        job=job.key,
        n=job.starts,
        task=job.task,
        lease=job.lease or "",
        job_cap=None,
        task_cap=None,
        upstream="house",
        model="house-model",
        runner=runner,
        hold=MicroUsd(hold),
    )


class Journal:
    """What a process saw committed, a line each, kept whatever becomes of the process."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, **fact: object) -> None:
        os.write(self._fd, json.dumps(fact).encode() + b"\n")


def spend(path: Path, job: Job, journal: Path, enough: Path, *, seed: int, cap: int, calls: int) -> None:
    """Make calls as fast as they go: some settle (and are settled again), some are freed, some stand.

    Whoever has made them all lives on until `enough` is there, so that a kill never comes too late.
    """
    rng, rules, told = random.Random(seed), policy(cap), Journal(journal)
    database = Database.open(path, wait_s=PATIENCE_S)
    for _ in range(calls):
        call = call_of(job, hold=rng.randint(1, MOST_HOLD), runner=f"runner-{seed}")
        with database.write(wait_s=PATIENCE_S) as db:
            charge = ledger.admit(db, call, rules, stop_reason=None, now=NOW)
        if isinstance(charge, Refusal):
            told.write(refused=charge.gate)
            continue
        told.write(charge=charge, hold=call.hold)
        if rng.random() < 0.5:
            hold = MicroUsd(rng.randint(call.hold // 2, call.hold))
            with database.write(wait_s=PATIENCE_S) as db:
                ledger.refine(db, charge, hold=hold)
            told.write(charge=charge, refined=hold)
        end = rng.random()
        if end < 0.8:
            for cost in (rng.randint(0, call.hold // 8), rng.randint(0, call.hold)):
                with database.write(wait_s=PATIENCE_S) as db:
                    ledger.settle(db, charge, call, rules, cost=MicroUsd(cost), usage=USAGE, now=NOW)
                told.write(charge=charge, settled=cost)
            continue
        verdict = FREED if end < 0.96 else STANDS
        with database.write(wait_s=PATIENCE_S) as db:
            ledger.conclude(db, charge, call, rules, verdict, now=NOW, rng=rng)
        told.write(charge=charge, ended=verdict.money.value)
    deadline = time.monotonic() + PATIENCE_S
    while not enough.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    database.close()


def hammer(path: Path, job: Job, journal: Path, barrier: Barrier, *, name: str, moments: tuple[UnixMs, ...]) -> None:
    """Ask for a call again and again at each of these moments, all processes at once."""
    rules, told = policy(10**9), Journal(journal)
    database = Database.open(path, wait_s=PATIENCE_S)
    call = call_of(job, hold=1, runner=name)
    for now in moments:
        barrier.wait()
        for _ in range(25):
            with database.write(wait_s=PATIENCE_S) as db:
                charge = ledger.admit(db, call, rules, stop_reason=None, now=now)
            if not isinstance(charge, Refusal):
                told.write(now=now, charge=charge)
        barrier.wait()
    database.close()
