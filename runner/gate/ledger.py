"""Stop, breaker and caps in one transaction: the call is admitted and its hold written, or it is refused.

Every function runs in the caller's IMMEDIATE transaction; what it decides is durable before a byte leaves.
"""

from __future__ import annotations

import json
import random
import sqlite3
from dataclasses import asdict, dataclass
from zoneinfo import ZoneInfo

from runner.config import BudgetConfig
from runner.errors import StoreError
from runner.gate import admission
from runner.gate.admission import Cap, Refusal
from runner.gate.usage import Usage
from runner.gate.verdict import Blow, Money, Verdict
from runner.store import breakers, charges, controls, events, jobs
from runner.store.breakers import BreakerState, CoolDown
from runner.store.charges import NewCharge
from runner.units import DAY_MS, HOUR_MS, MicroUsd, UnixMs, day_of, local, midnight_after, start_of_day

WAKE_AT_ONCE = 500
TRIAL_MS = 15 * 60_000
"""A trial that has not come back by then counts as lost. Longer than an answer takes: two trials would be one too
many. A runner that died frees its trial when the next one starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A model call somebody wants to make."""

    job_id: int
    job: str
    """Its key."""
    n: int
    task: str
    lease: str
    job_cap: MicroUsd | None
    """Most the job may cost in all its attempts."""
    task_cap: MicroUsd | None
    """Most the task may cost in a day."""
    upstream: str
    model: str
    runner: str
    hold: MicroUsd

    @property
    def breaker(self) -> str:
        """The name of the breaker it passes."""
        return f"{self.upstream}/{self.model}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The part of the configuration that decides."""

    zone: ZoneInfo
    budget: BudgetConfig
    cool_down: CoolDown


def admit(db: sqlite3.Connection, call: Call, policy: Policy, *, stop_reason: str | None, now: UnixMs) -> int | Refusal:
    """Write the hold and give the charge's id, or say why not. `stop_reason`: a stop outside the database, if any."""
    row = controls.stop_row(db)
    if stop_reason is not None or row.is_set:
        return _refused(db, call, admission.stopped(stop_reason or row.reason), now=now)
    leased = db.execute(
        "SELECT 1 FROM jobs WHERE id = ? AND status = 'running' AND lease = ? AND cancel = 0", (call.job_id, call.lease)
    ).fetchone()
    if not leased:
        return _refused(db, call, admission.attempt_over(), now=now)
    breaker = breakers.get(db, call.breaker)
    refusal = admission.check_breaker(breaker, now=now)
    if refusal is None and call.hold > 0:
        refusal = admission.check_caps(_caps(db, call, policy, now=now), hold=call.hold, now=now)
    if refusal is not None:
        return _refused(db, call, refusal, now=now)
    charge = charges.hold(
        db,
        NewCharge(
            day=day_of(now, policy.zone),
            zone=policy.zone.key,
            job_id=call.job_id,
            n=call.n,
            task=call.task,
            upstream=call.upstream,
            model=call.model,
            runner=call.runner,
            hold=call.hold,
        ),
        now=now,
    )
    if breaker is not None and breaker.state is not BreakerState.CLOSED:
        until = UnixMs(now + TRIAL_MS)
        if not breakers.begin_trial(db, call.breaker, charge=charge, until=until, now=now):
            raise StoreError(f"the one trial of breaker {call.breaker} cannot be taken")  # takes the hold back with it
    return charge


def _caps(db: sqlite3.Connection, call: Call, policy: Policy, *, now: UnixMs) -> list[Cap]:
    budget, zone = policy.budget, policy.zone
    today = day_of(now, zone)
    tomorrow = midnight_after(now, zone)
    caps = [
        Cap(
            name="day",
            limit=budget.daily_usd,
            committed=charges.spent_since_day(db, today).committed,
            lifts_at=tomorrow,
        )
    ]
    if budget.hourly_usd is not None:
        caps.append(_window(db, "hour", budget.hourly_usd, span_ms=HOUR_MS, hold=call.hold, now=now))
    if budget.rolling_24h_usd is not None:
        caps.append(_window(db, "rolling", budget.rolling_24h_usd, span_ms=DAY_MS, hold=call.hold, now=now))
    if budget.monthly_usd is not None:
        first = local(now, zone).date().replace(day=1)
        next_month = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
        spent = charges.spent_since_day(db, first.isoformat()).committed
        caps.append(
            Cap(name="month", limit=budget.monthly_usd, committed=spent, lifts_at=start_of_day(next_month, zone))
        )
    if call.task_cap is not None:
        spent = charges.spent_since_day(db, today, task=call.task).committed
        caps.append(Cap(name="task", limit=call.task_cap, committed=spent, lifts_at=tomorrow))
    if call.job_cap is not None:
        spent = charges.spent_on_job(db, call.job_id).committed
        caps.append(Cap(name="job", limit=call.job_cap, committed=spent, lifts_at=None))
    return caps


def _window(db: sqlite3.Connection, name: str, limit: MicroUsd, *, span_ms: int, hold: MicroUsd, now: UnixMs) -> Cap:
    since = UnixMs(now - span_ms)
    committed = charges.committed_since(db, since)
    lifts_at = None
    if committed + hold > limit:
        last = charges.last_to_leave(db, since, excess=MicroUsd(committed + hold - limit))
        lifts_at = UnixMs(last + span_ms + 1) if last is not None else None
    return Cap(name=name, limit=limit, committed=committed, lifts_at=lifts_at)


def _refused(db: sqlite3.Connection, call: Call, refusal: Refusal, *, now: UnixMs) -> Refusal:
    events.record(
        db,
        now=now,
        level=events.WARN,
        event="call.refused",
        text=refusal.message,
        task=call.task,
        job=call.job,
        attempt=call.n,
    )
    return refusal


def settle(db: sqlite3.Connection, charge: int, call: Call, *, cost: MicroUsd, usage: Usage, now: UnixMs) -> None:
    """Replace the hold by the true cost; the breaker learns of a success. A charge that has ended stays as it is.

    An answer dearer than its bound is charged in full, told, and trips its model: the bound or the price is wrong.
    """
    over = cost > call.hold
    note = f"dearer than its bound of {call.hold} micro-dollars" if over else None
    if not charges.settle(db, charge, cost=cost, usage=json.dumps(asdict(usage)), now=now, note=note):
        return
    if over:
        breakers.trip(db, call.breaker, reason=f"an answer cost more than its bound ({note})", retry_at=None, now=now)
        _event(db, call, events.ERROR, "call.over_bound", f"{call.model} cost {cost} micro-dollars, {note}", now=now)
    elif breakers.succeeded(db, call.breaker, charge=charge, now=now):
        _event(db, call, events.INFO, "breaker.closed", f"breaker {call.breaker} closed, its trial succeeded", now=now)
        while jobs.wake(db, gate=f"breaker:{call.breaker}", now=now, limit=WAKE_AT_ONCE) == WAKE_AT_ONCE:
            pass


def conclude(
    db: sqlite3.Connection,
    charge: int,
    call: Call,
    verdict: Verdict,
    *,
    cool_down: CoolDown,
    now: UnixMs,
    rng: random.Random,
) -> None:
    """End a call that told no complete usage, as the table says. A charge that has ended stays as it is."""
    end = charges.release if verdict.money is Money.RELEASE else charges.let_stand
    if not end(db, charge, note=verdict.note, now=now):
        return  # a connection that breaks after the last count says nothing about the upstream
    if verdict.blow is Blow.FAILURE:
        opened = breakers.failed(
            db, call.breaker, charge=charge, reason=verdict.note, cool_down=cool_down, now=now, rng=rng
        )
        if opened is not None:
            text = f"breaker {call.breaker} open after {opened.failures} failures in a row: {verdict.note}"
            _event(db, call, events.WARN, "breaker.open", text, now=now)
    elif verdict.blow is Blow.TRIP:
        breakers.trip(db, call.breaker, reason=verdict.note, retry_at=None, now=now)
        text = f"breaker {call.breaker} tripped until a person resets it: {verdict.note}"
        _event(db, call, events.ERROR, "breaker.open", text, now=now)
    else:
        breakers.end_trial(db, call.breaker, charge=charge, now=now)


def _event(db: sqlite3.Connection, call: Call, level: str, event: str, text: str, *, now: UnixMs) -> None:
    events.record(db, now=now, level=level, event=event, text=text, task=call.task, job=call.job, attempt=call.n)
