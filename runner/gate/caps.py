"""The caps and what counts against each now. Runs in the transaction that writes the hold.

Days and months are sums of a few totals; the windows of an hour and of 24 h are sums over the index by time, so all of
them cost the same whatever the ledger has seen before. Whatever carries a later day or time than now counts as well: a
clock that is set back frees nothing.
"""

from __future__ import annotations

import sqlite3
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from runner.gate.admission import Cap
from runner.gate.call import Call, Policy
from runner.store import charges, raises
from runner.units import DAY_MS, HOUR_MS, MicroUsd, UnixMs, day_of, midnight_after, month_after, start_of_day


def composed(db: sqlite3.Connection, call: Call, policy: Policy, *, now: UnixMs) -> list[Cap]:
    """Every cap that this call has to pass."""
    budget, zone = policy.budget, policy.zone
    today = day_of(now, zone)
    raised = raises.standing(db, today, over=budget.daily_usd)
    daily = raised.cap if raised else budget.daily_usd
    caps = [_days(db, call, "day", daily, since=today, zone=zone, now=now)]
    if budget.hourly_usd is not None:
        caps.append(_window(db, call, "hour", budget.hourly_usd, span_ms=HOUR_MS, now=now))
    if budget.rolling_24h_usd is not None:
        caps.append(_window(db, call, "rolling", budget.rolling_24h_usd, span_ms=DAY_MS, now=now))
    if budget.monthly_usd is not None:
        caps.append(_days(db, call, "month", budget.monthly_usd, since=f"{today[:-2]}01", zone=zone, now=now))
    if call.task_cap is not None:
        caps.append(_days(db, call, "task", call.task_cap, since=today, zone=zone, now=now))
    if call.job_cap is not None:
        spent = charges.spent_on_job(db, call.job_id).committed
        caps.append(Cap(name="job", limit=call.job_cap, committed=spent, lifts_at=None))
    return caps


def _days(
    db: sqlite3.Connection, call: Call, name: str, limit: MicroUsd, *, since: str, zone: ZoneInfo, now: UnixMs
) -> Cap:
    """A cap of whole days, `since` the first that counts."""
    task = call.task if name == "task" else None
    committed = charges.spent_since_day(db, since, task=task).committed
    if committed + call.hold <= limit:
        return Cap(name=name, limit=limit, committed=committed, lifts_at=None)
    last = charges.last_day_over(db, since, room=limit - call.hold, task=task) or since
    return Cap(
        name=name,
        limit=limit,
        committed=committed,
        lifts_at=month_after(last, zone) if name == "month" else _end_of_day(last, zone, now=now),
        settling=charges.in_flight(db, but_job=call.job_id, day=since, task=task),
    )


def _window(db: sqlite3.Connection, call: Call, name: str, limit: MicroUsd, *, span_ms: int, now: UnixMs) -> Cap:
    """A cap of the last so many milliseconds."""
    since = UnixMs(now - span_ms)
    committed = charges.committed_since(db, since)
    excess = MicroUsd(committed + call.hold - limit)
    if excess <= 0:
        return Cap(name=name, limit=limit, committed=committed, lifts_at=None)
    last = charges.last_to_leave(db, since, excess=excess)
    return Cap(
        name=name,
        limit=limit,
        committed=committed,
        lifts_at=UnixMs(last + span_ms + 1) if last is not None else None,
        settling=charges.in_flight(db, but_job=call.job_id, at=since),
    )


def _end_of_day(day: str, zone: ZoneInfo, *, now: UnixMs) -> UnixMs:
    if day == day_of(now, zone):
        return midnight_after(now, zone)
    return start_of_day(date.fromisoformat(day) + timedelta(days=1), zone)
