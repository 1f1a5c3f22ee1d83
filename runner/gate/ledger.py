"""Stop, breaker, rate and caps in one transaction: the call is admitted and its hold written, or it is refused.

Every function runs in the caller's IMMEDIATE transaction; what it decides is durable before a byte leaves.
"""

from __future__ import annotations

import json
import random
import sqlite3
from dataclasses import fields
from typing import Any

from runner.gate import admission, brakes, caps, levels
from runner.gate.admission import Refusal
from runner.gate.call import Call, Policy
from runner.gate.usage import Usage
from runner.gate.verdict import Money, Verdict
from runner.store import answers, charges, controls, events
from runner.store.charges import NewCharge
from runner.units import MicroUsd, UnixMs, day_of


def admit(db: sqlite3.Connection, call: Call, policy: Policy, *, stop_reason: str | None, now: UnixMs) -> int | Refusal:
    """Write the hold and give the charge's id, or say why not. `stop_reason`: a stop outside the database, if any."""
    barred = _barred(db, call, stop_reason)
    if barred is not None:
        return _refused(db, call, barred, now=now)
    refusal = brakes.check(db, call, policy, now=now)
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
    brakes.take(db, call, charge, policy, now=now)
    return charge


def look(db: sqlite3.Connection, call: Call, policy: Policy, *, stop_reason: str | None, now: UnixMs) -> Refusal | None:
    """Why a question that costs nothing may not go; None: it may."""
    refusal = _barred(db, call, stop_reason) or brakes.check(db, call, policy, now=now)
    return None if refusal is None else _refused(db, call, refusal, now=now)


def _barred(db: sqlite3.Connection, call: Call, stop_reason: str | None) -> Refusal | None:
    """A stop, or the end of the attempt that asks."""
    row = controls.stop_row(db)
    if stop_reason is not None or row.is_set:
        return admission.stopped(stop_reason or row.reason)
    leased = db.execute(
        "SELECT 1 FROM jobs WHERE id = ? AND status = 'running' AND lease = ? AND cancel = 0", (call.job_id, call.lease)
    ).fetchone()
    return None if leased else admission.attempt_over()


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
    """Lower the hold of a call in flight to a better bound; False: it has ended, or holds no more than that."""
    return charges.refine(db, charge, hold=hold)


def settle(
    db: sqlite3.Connection,
    charge: int,
    call: Call,
    policy: Policy,
    *,
    cost: MicroUsd,
    usage: Usage,
    now: UnixMs,
    answer: str | None = None,
) -> None:
    """Replace the hold by the true cost; the brakes learn of a success. A charge that has ended stays as it is.

    An answer dearer than its bound is charged in full, told, and trips its model: the bound or the price is wrong.
    `answer`: what is paid for with it, to be kept until the call's step has recorded it.
    """
    (hold,) = db.execute("SELECT hold FROM charges WHERE id = ?", (charge,)).fetchone()
    over = cost > hold
    note = f"dearer than its bound of {hold} micro-dollars" if over else None
    if not charges.settle(db, charge, cost=cost, usage=json.dumps(usage, default=_fields), now=now, note=note):
        return
    if answer is not None and call.step is not None:
        answers.keep(db, call.job_id, lease=call.lease, step=call.step, question=call.request_hash, body=answer)
    tokens = usage.prompt - usage.cache_read + usage.output  # as vendors count: what is read from a cache is free
    brakes.answered(db, call, charge, policy, cost=cost, tokens=tokens, now=now)
    if over:
        brakes.over_bound(db, call, cost=cost, hold=hold, now=now)


def conclude(
    db: sqlite3.Connection,
    charge: int,
    call: Call,
    policy: Policy,
    verdict: Verdict,
    *,
    now: UnixMs,
    rng: random.Random,
) -> None:
    """End a call that told no complete usage, as the table says. A charge that has ended stays as it is."""
    end = charges.release if verdict.money is Money.RELEASE else charges.let_stand
    if end(db, charge, note=verdict.note, now=now):  # a break after the last count says nothing about the upstream
        brakes.ended(db, call, charge, policy, verdict, now=now, rng=rng)


def _fields(value: Any) -> dict[str, object]:
    """A dataclass as JSON has it. `asdict` copies everything in it first, which takes as long as all else here."""
    return {one.name: getattr(value, one.name) for one in fields(value)}
