"""Stop, breaker and caps in one transaction: the call is admitted and its hold written, or it is refused.

Every function runs in the caller's IMMEDIATE transaction; what it decides is durable before a byte leaves.
"""

from __future__ import annotations

import json
import random
import sqlite3
from dataclasses import asdict

from runner.errors import StoreError
from runner.gate import admission, caps, levels
from runner.gate.admission import Refusal
from runner.gate.call import Call, Policy
from runner.gate.usage import Usage
from runner.gate.verdict import Blow, Money, Verdict
from runner.store import breakers, charges, controls, events, jobs
from runner.store.breakers import BreakerState, CoolDown
from runner.store.charges import NewCharge
from runner.units import MicroUsd, UnixMs, day_of

WAKE_AT_ONCE = 500
TRIAL_MS = 15 * 60_000
"""A trial that has not come back by then counts as lost. Longer than an answer takes: two trials would be one too
many. A runner that died frees its trial when the next one starts."""


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
    standing = caps.composed(db, call, policy, now=now) if refusal is None and call.hold > 0 else []
    if refusal is None:
        refusal = admission.check_caps(standing, hold=call.hold, now=now, zone=policy.zone)
    if refusal is not None:
        levels.reached(db, call, refusal, standing, policy, now=now)
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
    levels.passed(db, call, standing, policy, now=now)
    if breaker is not None and breaker.state is not BreakerState.CLOSED:
        until = UnixMs(now + TRIAL_MS)
        if not breakers.begin_trial(db, call.breaker, charge=charge, until=until, now=now):
            raise StoreError(f"the one trial of breaker {call.breaker} cannot be taken")  # takes the hold back with it
    return charge


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


def refine(db: sqlite3.Connection, charge: int, *, hold: MicroUsd) -> bool:
    """Lower the hold of a call in flight to a bound that is known better; False: it has ended, or holds less already."""
    return charges.refine(db, charge, hold=hold)


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
