"""The caps and what counts against each now. Runs in the transaction that writes the hold."""

from __future__ import annotations

import sqlite3

from runner.gate.admission import Cap
from runner.gate.call import Call, Policy
from runner.store import charges
from runner.units import DAY_MS, HOUR_MS, MicroUsd, UnixMs, day_of, local, midnight_after, start_of_day


def composed(db: sqlite3.Connection, call: Call, policy: Policy, *, now: UnixMs) -> list[Cap]:
    """Every cap that this call has to pass."""
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
