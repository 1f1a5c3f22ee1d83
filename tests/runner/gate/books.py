"""Calls, policies and times for the tests of caps: the ledger asked directly, on a real database."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from zoneinfo import ZoneInfo

from runner.config import BudgetConfig
from runner.gate import caps, ledger
from runner.gate.admission import Cap, Refusal
from runner.gate.call import Call, Policy
from runner.gate.usage import Usage
from runner.store.breakers import CoolDown
from runner.store.jobs import Job
from runner.units import MicroUsd, UnixMs
from tests.factories import NOW

COOL_DOWN = CoolDown(failures=5, first_ms=60_000, longest_ms=600_000)


def at(text: str, zone: str = "UTC") -> UnixMs:
    """The instant of an ISO time; of an hour that comes twice, the first."""
    return UnixMs(round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000))


def make_policy(
    *, zone: str = "UTC", daily: int = 100, alert_at: tuple[int, ...] = (50, 80, 100), **limits: int
) -> Policy:
    budget = BudgetConfig(
        daily_usd=MicroUsd(daily), alert_at=alert_at, **{name: MicroUsd(limit) for name, limit in limits.items()}
    )
    return Policy(zone=ZoneInfo(zone), budget=budget, cool_down=COOL_DOWN)


def make_call(job: Job, *, hold: int = 40, job_cap: int | None = None, task_cap: int | None = None) -> Call:
    return Call(
        job_id=job.id,
        job=job.key,
        n=job.starts,
        task=job.task,
        lease=job.lease or "",
        job_cap=MicroUsd(job_cap) if job_cap is not None else None,
        task_cap=MicroUsd(task_cap) if task_cap is not None else None,
        upstream="house",
        model="house-model",
        runner="runner-1",
        hold=MicroUsd(hold),
    )


def admit(db: sqlite3.Connection, call: Call, policy: Policy | None = None, *, now: UnixMs = NOW) -> int | Refusal:
    return ledger.admit(db, call, policy or make_policy(), stop_reason=None, now=now)


def held(answer: int | Refusal) -> int:
    """The charge of a call that was let through."""
    assert isinstance(answer, int), answer
    return answer


def refused(answer: int | Refusal) -> Refusal:
    """Why a call was not."""
    assert isinstance(answer, Refusal), answer
    return answer


def settle(db: sqlite3.Connection, charge: int, call: Call, cost: int, *, now: UnixMs = NOW) -> None:
    usage = Usage(model="house-model", input=1, output=1)
    ledger.settle(db, charge, call, make_policy(), cost=MicroUsd(cost), usage=usage, now=now)


def cap_of(db: sqlite3.Connection, call: Call, policy: Policy, name: str, *, now: UnixMs) -> Cap:
    """One of the caps as the next call would meet it."""
    (found,) = (cap for cap in caps.composed(db, call, policy, now=now) if cap.name == name)
    return found
