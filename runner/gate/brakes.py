"""Breakers, rates and runaways: what holds calls back whatever they cost.

Every function runs in the transaction that writes a call's hold, or its end; all state is rows, so a restart forgets
nothing and several processes are one.
"""

from __future__ import annotations

import random
import sqlite3
from dataclasses import replace

from runner import telling
from runner.errors import StoreError
from runner.gate import admission
from runner.gate.admission import Refusal
from runner.gate.call import Call, Policy, RateLimit, Runaway
from runner.gate.verdict import Blow, Verdict
from runner.store import breakers, events, jobs, rate_pauses, rate_turns, rate_uses, repeats, tallies
from runner.store.breakers import BreakerState
from runner.units import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, MicroUsd, UnixMs, duration, exact_usd, iso

TRIAL_MS = 15 * MINUTE_MS
"""A trial that has not come back by then counts as lost. Longer than an answer takes: two trials would be one too
many. A runner that died frees its trial when the next one starts."""
WAKE_AT_ONCE = 2_000
"""Jobs woken in the settling of the trial that closed their breaker, for a kill waits as long. The rest of a longer
queue comes due by itself: none of it waits for later than a minute or two after the cool-down.
"""
STEP_MS = 100
"""Jobs that wait for the same moment look again so far apart: ten a second, not all at once."""
MOST_STEPS = 600
LOOK_AGAIN_MS = HOUR_MS
"""Whose turn is farther off looks again then: those before it may have gone."""
MOST_PAUSE_MS = DAY_MS
"""A longer wait than a day is not believed of any upstream."""


# --- before a call ------------------------------------------------------------------------------------------------


def check(db: sqlite3.Connection, call: Call, policy: Policy, *, now: UnixMs) -> Refusal | None:
    """Why a call may not go: a breaker of its upstream or model, a pause its upstream asked for, a configured rate."""
    for name in (call.upstream_breaker, call.breaker):
        refusal = admission.check_breaker(breakers.get(db, name), now=now)
        if refusal is not None:
            return _in_line(db, refusal)
    pause = rate_pauses.holding(db, call.upstream, call.breaker, now=now)
    if pause is not None:
        return _in_line(db, admission.rate_paused(pause, now=now))
    limit = policy.limits.get(call.upstream)
    return _check_limit(db, call, limit, now=now) if limit is not None else None


def take(db: sqlite3.Connection, call: Call, charge: int, policy: Policy, *, now: UnixMs) -> None:
    """The call goes: it is the trial of a breaker that is not closed, and counts for the rate of its upstream."""
    breaker = breakers.get(db, call.breaker)
    if breaker is not None and breaker.state is not BreakerState.CLOSED:
        until = UnixMs(now + TRIAL_MS)
        if not breakers.begin_trial(db, call.breaker, charge=charge, until=until, now=now):
            raise StoreError(f"the one trial of breaker {call.breaker} cannot be taken")  # takes the hold back with it
    if call.upstream in policy.limits:
        rate_turns.take(db, call.job_id)
        rate_uses.add(db, charge=charge, upstream=call.upstream, tokens=call.tokens, now=now)


def _in_line(db: sqlite3.Connection, refusal: Refusal) -> Refusal:
    """The refusal with a moment of its own, a little after that of the jobs that wait for the same."""
    if refusal.lifts_at is None:
        return refusal
    ahead = _waiting(db, refusal.gate)
    return replace(refusal, lifts_at=UnixMs(refusal.lifts_at + ahead * STEP_MS)) if ahead else refusal


def _check_limit(db: sqlite3.Connection, call: Call, limit: RateLimit, *, now: UnixMs) -> Refusal | None:
    used = rate_uses.used(db, call.upstream, now=now)
    # A call larger than the limit alone goes when nothing else does: its bound is seldom what it takes.
    tokens = min(call.tokens, limit.tokens) if limit.tokens is not None else 0
    full = [
        (unit, most, so_far, asked, freed_at)
        for unit, most, so_far, asked, freed_at in (
            ("requests", limit.requests, used.requests, 1, rate_uses.requests_freed_at),
            ("tokens", limit.tokens, used.tokens, tokens, rate_uses.tokens_freed_at),
        )
        if most is not None and so_far + asked > most
    ]
    if not full:
        return None
    ahead = rate_turns.ahead(db, call.upstream, job_id=call.job_id, now=now)
    turns = []
    for unit, most, so_far, asked, freed_at in full:
        # A minute has room for so many calls like this one; whoever waits takes the next place, minute after minute.
        minute, place = divmod(ahead, max(1, most // max(1, asked)))
        amount = min(so_far, so_far + asked - most + place * asked)
        turn = freed_at(db, call.upstream, amount=amount) + minute * rate_uses.SPAN_MS
        turns.append((min(turn, now + LOOK_AGAIN_MS), unit, most, so_far, asked))
    turn, unit, most, so_far, asked = max(turns)
    turn = rate_turns.of(db, call.job_id, upstream=call.upstream) or turn
    rate_turns.give(db, job_id=call.job_id, upstream=call.upstream, turn=UnixMs(turn))
    return admission.rate_full(
        call.upstream, unit, limit=most, used=so_far, asked=asked, ahead=ahead, lifts_at=UnixMs(turn), now=now
    )


def _waiting(db: sqlite3.Connection, gate: str) -> int:
    row = db.execute(
        "SELECT count(*) FROM (SELECT 1 FROM jobs WHERE status = 'pending' AND waiting_gate = ? LIMIT ?)",
        (gate, MOST_STEPS),
    ).fetchone()
    return int(row[0])


# --- after a call -------------------------------------------------------------------------------------------------


def answered(
    db: sqlite3.Connection, call: Call, charge: int, policy: Policy, *, cost: MicroUsd, tokens: int, now: UnixMs
) -> None:
    """A call succeeded and told what it used. `tokens`: those that count for a rate."""
    closed = breakers.succeeded(db, call.breaker, charge=charge, now=now)
    tallies.note(db, call.breaker, now=now, keep_ms=_keep_ms(policy), calls=1, spent=cost)
    if call.upstream in policy.limits:
        rate_uses.told(db, charge, tokens=tokens)
    if closed:
        tallies.forget_calls(db, call.breaker)
        _event(db, call, events.INFO, "breaker.closed", f"breaker {call.breaker} closed, its trial succeeded", now=now)
        text = f"{call.breaker} answers again, its breaker is closed"
        telling.settled(db, key=f"breaker:{call.breaker}", text=text, now=now)
        jobs.wake(db, gate=f"breaker:{call.breaker}", now=now, limit=WAKE_AT_ONCE)
    _look_for_runaway(db, call, policy.runaway, now=now)


def over_bound(db: sqlite3.Connection, call: Call, *, cost: MicroUsd, hold: MicroUsd, now: UnixMs) -> None:
    """An answer cost more than was held for it: the bound or the price of its model is wrong."""
    said = f"an answer cost {exact_usd(cost)}, more than its bound of {exact_usd(hold)}"
    breakers.trip(db, call.breaker, reason=said, retry_at=None, now=now)
    text = f"{said}: {call.breaker} is tripped until a person resets it"
    _event(db, call, events.ERROR, "call.over_bound", text, now=now)
    telling.tell(db, key=f"over_bound:{call.breaker}", level=events.ERROR, text=text, now=now)


def ended(
    db: sqlite3.Connection,
    call: Call,
    charge: int,
    policy: Policy,
    verdict: Verdict,
    *,
    now: UnixMs,
    rng: random.Random,
) -> None:
    """A call ended without usage: what its breaker learns, and what its upstream asked for."""
    if verdict.blow is Blow.FAILURE:
        _failed(db, call, charge, policy, verdict.note, now=now, rng=rng)
        return
    breakers.end_trial(db, call.breaker, charge=charge, now=now)
    if verdict.blow is Blow.TRIP:  # the key, or the account behind it, serves every model of the upstream
        name = call.upstream_breaker
        breakers.trip(db, name, reason=verdict.note, retry_at=None, now=now)
        text = f"breaker {name} tripped until a person resets it: {verdict.note}"
        _event(db, call, events.ERROR, "breaker.open", text, now=now)
        telling.tell(db, key=f"breaker:{name}", level=events.ERROR, text=text, now=now)
    elif verdict.wait_until is not None:
        pause(db, call, until=verdict.wait_until, reason=verdict.note, now=now)


def pause(db: sqlite3.Connection, call: Call, *, until: UnixMs, reason: str, now: UnixMs) -> None:
    """Let no call to a model leave before a time its upstream named; at least a second, at most a day."""
    until = UnixMs(min(max(until, now + SECOND_MS), now + MOST_PAUSE_MS))
    known = rate_pauses.holding(db, call.breaker, now=now)
    if rate_pauses.pause(db, call.breaker, until=until, reason=reason, now=now) and known is None:
        text = f"calls to {call.breaker} are paused until {iso(until)}: {reason}"
        _event(db, call, events.WARN, "rate.paused", text, now=now)


def _failed(
    db: sqlite3.Connection, call: Call, charge: int, policy: Policy, note: str, *, now: UnixMs, rng: random.Random
) -> None:
    cool_down, rate = policy.cool_down, None
    tallies.note(db, call.breaker, now=now, keep_ms=_keep_ms(policy), calls=1, failures=1)
    tally = tallies.of(db, call.breaker, window_ms=cool_down.window_ms, now=now)
    if cool_down.too_many(calls=tally.calls, failures=tally.failures):
        rate = f"{tally.failures} of {tally.calls} calls failed within {duration(cool_down.window_ms)}, {note}"
    opened = breakers.failed(
        db, call.breaker, charge=charge, reason=note, cool_down=cool_down, now=now, rng=rng, rate=rate
    )
    if opened is None:
        return
    in_a_row = f"{opened.failures} failures in a row: {note}"
    text = f"breaker {call.breaker} open after {in_a_row if opened.reason == note else opened.reason}"
    _event(db, call, events.WARN, "breaker.open", text, now=now)
    telling.tell(db, key=f"breaker:{call.breaker}", level=events.WARN, text=text, now=now)


def _look_for_runaway(db: sqlite3.Connection, call: Call, runaway: Runaway, *, now: UnixMs) -> None:
    """Trip what goes on and on although every call of it succeeds.

    Only complete answers count, and money only once it is settled: what a hold says is several times what is spent.
    So neither a failure nor a refusal brings a job nearer to the limit of the same request; an attempt that was
    answered and then failed asks once more, as often as a job has attempts, four unless configured.
    """
    if call.request_hash and runaway.same_request:
        answers = repeats.answered(db, job_id=call.job_id, request=call.request_hash, now=now)
        if answers >= runaway.same_request:
            repeats.forget(db, job_id=call.job_id, request=call.request_hash)
            within = duration(repeats.SPAN_MS)
            said = f"runaway: job {call.job} was answered the same request {answers} times within {within}"
            _trip_runaway(db, call, call.breaker, said, now=now)
    if runaway.usd_per_minute is not None:
        held_back = {one.name for one in breakers.all_of(db) if one.state is BreakerState.OPEN}
        spent = tallies.spent(db, window_ms=MINUTE_MS, now=now)
        going_on = {name: cost for name, cost in spent.items() if name not in held_back}
        total = sum(going_on.values())
        if total > runaway.usd_per_minute:
            name, cost = next(iter(going_on.items()))
            limit = exact_usd(runaway.usd_per_minute)
            said = f"runaway: {exact_usd(total)} in a minute, above {limit}, of it {exact_usd(cost)} for {name}"
            _trip_runaway(db, call, name, said, now=now)


def _trip_runaway(db: sqlite3.Connection, call: Call, name: str, said: str, *, now: UnixMs) -> None:
    breakers.trip(db, name, reason=said, retry_at=None, now=now)
    text = f"{said}; {name} is tripped until a person resets it"
    _event(db, call, events.ERROR, "call.runaway", text, now=now)
    telling.tell(db, key=f"runaway:{name}", level=events.ERROR, text=text, now=now)


def _keep_ms(policy: Policy) -> int:
    return max(policy.cool_down.window_ms, MINUTE_MS)


def _event(db: sqlite3.Connection, call: Call, level: str, event: str, text: str, *, now: UnixMs) -> None:
    events.record(db, now=now, level=level, event=event, text=text, task=call.task, job=call.job, attempt=call.n)
