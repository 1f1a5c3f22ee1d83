"""Tells, once each, that what is committed has reached a part of a cap. In the transaction of the hold that does it.

A call that crosses nothing costs no statement. A level is told once a day for the cap of the day, of a task and of the
last 24 hours, once a month for the month's, and once an hour of the clock for the hour's; raising the cap arms it anew.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from runner import telling
from runner.gate.admission import CAP_WORDS, Cap, Refusal
from runner.gate.call import Call, Policy
from runner.store import alerts, charges, events
from runner.units import DAY_MS, HOUR_MS, UnixMs, day_of, exact_usd, iso, midnight_after, month_after

FULL = 100
"""The level that a refusal is told at: the last cent of a cap is seldom held exactly."""
_WARN_FROM = 80


def passed(db: sqlite3.Connection, call: Call, caps: Sequence[Cap], policy: Policy, *, now: UnixMs) -> None:
    """The call was admitted; `caps` is what counted before it."""
    for cap in caps:
        after = cap.committed + call.hold
        for level in policy.budget.alert_at if cap.name != "job" else ():  # that ends one job, which says so itself
            if cap.committed * 100 < level * cap.limit <= after * 100:
                flying = charges.in_flight(db, but_job=0, day=day_of(now, policy.zone))
                text = (
                    f"{CAP_WORDS[cap.name]} of {exact_usd(cap.limit)} is at {after * 100 // cap.limit} %: "
                    f"{exact_usd(after)} is spent or held ({exact_usd(flying)} for calls in flight)"
                )
                _tell(db, call, cap, policy, level=level, text=text, now=now)


def reached(
    db: sqlite3.Connection, call: Call, refusal: Refusal, caps: Sequence[Cap], policy: Policy, *, now: UnixMs
) -> None:
    """The call was refused. Nothing is told of a cap that is full of other jobs' calls in flight alone."""
    for cap in caps:
        if refusal.gate != f"cap:{cap.name}" or cap.name == "job" or FULL not in policy.budget.alert_at:
            continue
        if call.hold > cap.limit > 0:  # no day will be long enough for it; the cap itself may be untouched
            _tell(db, call, cap, policy, level=FULL, text=refusal.fact, now=now, part=":alone")
        elif refusal.lifts_at == cap.lifts_at:
            raising = ", or `afk-runner spend --raise` lets them go on until midnight" if cap.name == "day" else ""
            text = f"{refusal.fact}; its jobs wait until {iso(refusal.lifts_at)}{raising}"
            _tell(db, call, cap, policy, level=FULL, text=text, now=now)


def _tell(
    db: sqlite3.Connection, call: Call, cap: Cap, policy: Policy, *, level: int, text: str, now: UnixMs, part: str = ""
) -> None:
    text = f"task {call.task}: {text}" if cap.name == "task" else text
    period, lapses_at = _period(cap, call, policy, now=now)
    word = events.ERROR if level >= FULL else events.WARN if level >= _WARN_FROM else events.INFO
    key = alerts.cap_key(cap.name, period + part, level)
    if telling.tell(db, key=key, level=word, text=text, now=now, lapses_at=lapses_at):
        events.record(db, now=now, level=word, event="cap.level", text=text, task=call.task, job=call.job)


def _period(cap: Cap, call: Call, policy: Policy, *, now: UnixMs) -> tuple[str, UnixMs]:
    """What a level is told once in, and when that is over."""
    today = day_of(now, policy.zone)
    match cap.name:
        case "hour":
            return (iso(now) or "")[:13], UnixMs(now + HOUR_MS)
        case "rolling":
            return today, UnixMs(now + DAY_MS)
        case "month":
            return today[:7], month_after(today, policy.zone)
        case "task":
            return f"{call.task}:{today}", midnight_after(now, policy.zone)
        case _:
            return today, midnight_after(now, policy.zone)
