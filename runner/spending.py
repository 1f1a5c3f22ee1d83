"""What stands against each cap, and which holds stand: what `spend`, the console and the doctor say of money."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from runner.store import charges, raises
from runner.store.charges import Spend
from runner.store.raises import Raise
from runner.units import DAY_MS, HOUR_MS, MINUTE_MS, MicroUsd, UnixMs, day_of, midnight_after, month_after
from runner.views import NOTHING, SpendView, Waiting

if TYPE_CHECKING:
    from runner.config import BudgetConfig, TaskConfig

IN_FLIGHT = "in flight"


@dataclass(frozen=True, slots=True, kw_only=True)
class CapView:
    """One cap and what counts against it now."""

    name: str
    """`day`, `hour`, `rolling`, `month`, `task` or `job`."""
    task: str | None = None
    limit: MicroUsd
    spent: Spend | None
    """None: of each job, so there is no one number."""
    lifts_at: UnixMs | None
    """When what counts begins to count no more: the end of its day or month, or when the oldest call leaves it."""
    raised: Raise | None = None
    """Who raised it for today, and why."""

    @property
    def free(self) -> MicroUsd | None:
        """What may still be held, never below zero."""
        return None if self.spent is None else MicroUsd(max(0, self.limit - self.spent.committed))


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldCall:
    """One call that was not settled."""

    id: int
    """What `spend --write-off` takes."""
    day: str
    """The day it counts to."""
    held_at: UnixMs
    task: str
    job: str | None
    """Its key; None: the job was removed."""
    model: str
    hold: MicroUsd
    note: str | None
    """Why its cost is not known; None: it is in flight, or its runner died in it and none has started since."""
    in_flight: bool
    """A runner is at it: it will settle by itself, and cannot be written off."""
    why: str
    """The same as a word or two for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holds:
    """All calls that are not settled, in numbers."""

    calls: int = 0
    total: MicroUsd = NOTHING
    standing: int = 0
    """Of these, the ones whose cost nobody knows: each counts until a person writes it off."""
    standing_total: MicroUsd = NOTHING
    oldest: UnixMs | None = None
    """When the oldest of those that stand was held."""


def told(budget: BudgetConfig, tasks: Mapping[str, TaskConfig]) -> dict[str, str]:
    """The caps of a runner, as it writes them down for whoever looks from outside."""
    named = ("daily_usd", "hourly_usd", "rolling_24h_usd", "monthly_usd", "per_job_usd")
    values = {name: getattr(budget, name) for name in named}
    task_caps = {task.name: task.daily_usd for task in tasks.values() if task.daily_usd is not None}
    return {
        **{name: str(value) for name, value in values.items() if value is not None},
        "task_caps": json.dumps(task_caps, sort_keys=True),
    }


# The day's money and that of the last hour, as `charges` counts both, in one look.
TODAY = """
SELECT coalesce(sum(settled), 0), coalesce(sum(held), 0),
       (SELECT coalesce(sum(counted), 0) FROM charges WHERE held_at >= :hour),
       EXISTS (SELECT 1 FROM raises WHERE day = :day)
  FROM spend_totals WHERE day >= :day
"""


@lru_cache(maxsize=8)
def _day(minute: int, zone: ZoneInfo) -> tuple[str, UnixMs]:
    """The day of a minute and when it ends. Days begin with a minute, and a screen asks many times in one."""
    return day_of(minute, zone), midnight_after(minute, zone)


def today(db: sqlite3.Connection, settings: dict[str, str], waiting: tuple[Waiting, ...], *, now: UnixMs) -> SpendView:
    """The day's money against the day's cap."""
    zone = ZoneInfo(settings.get("timezone", "UTC"))
    day, resets_at = _day(now // MINUTE_MS * MINUTE_MS, zone)
    settled, held, last_hour, any_raise = db.execute(TODAY, {"day": day, "hour": now - HOUR_MS}).fetchone()
    spent = Spend(settled=MicroUsd(settled), held=MicroUsd(held))
    configured = _amount(settings, "daily_usd")
    raised = raises.standing(db, day, over=configured) if configured is not None and any_raise else None
    cap = raised.cap if raised else configured
    reached_at = None
    # Jobs that look again before midnight wait for calls in flight, not for the cap.
    refused = any(held.gate == "cap:day" and held.until >= resets_at for held in waiting)
    if cap is not None and last_hour > 0 and spent.committed < cap and not refused:
        at = now + max(0, cap - spent.committed) * HOUR_MS // last_hour
        reached_at = UnixMs(at) if at < resets_at else None
    return SpendView(
        day=day,
        zone=zone.key,
        cap=cap,
        raised=raised,
        settled=spent.settled,
        held=spent.held,
        last_hour=last_hour,
        resets_at=resets_at,
        reached_at=reached_at,
        reached=refused or (cap is not None and spent.committed >= cap),
    )


def caps(db: sqlite3.Connection, settings: dict[str, str], *, now: UnixMs) -> tuple[CapView, ...]:
    """Every cap in force, as the last runner was configured; empty before the first."""
    zone = ZoneInfo(settings.get("timezone", "UTC"))
    day, midnight = day_of(now, zone), midnight_after(now, zone)
    found = []
    daily = _amount(settings, "daily_usd")
    if daily is not None:
        raised = raises.standing(db, day, over=daily)
        spent = charges.spent_since_day(db, day)
        whole = raised.cap if raised else daily
        found.append(CapView(name="day", limit=whole, spent=spent, lifts_at=midnight, raised=raised))
    for name, key, span_ms in (("hour", "hourly_usd", HOUR_MS), ("rolling", "rolling_24h_usd", DAY_MS)):
        limit = _amount(settings, key)
        if limit is not None:
            since = UnixMs(now - span_ms)
            first = charges.first_since(db, since)
            lifts_at = UnixMs(first + span_ms + 1) if first is not None else None
            found.append(CapView(name=name, limit=limit, spent=charges.spent_since(db, since), lifts_at=lifts_at))
    monthly = _amount(settings, "monthly_usd")
    if monthly is not None:
        spent = charges.spent_since_day(db, f"{day[:-2]}01")
        found.append(CapView(name="month", limit=monthly, spent=spent, lifts_at=month_after(day, zone)))
    for task, cap in json.loads(settings.get("task_caps", "{}")).items():
        spent = charges.spent_since_day(db, day, task=task)
        found.append(CapView(name="task", task=task, limit=MicroUsd(cap), spent=spent, lifts_at=midnight))
    per_job = _amount(settings, "per_job_usd")
    if per_job is not None:
        found.append(CapView(name="job", limit=per_job, spent=None, lifts_at=None))
    return tuple(found)


HELD = """
SELECT charges.id, charges.day, held_at, charges.task, jobs.key, model, hold, note, ended_at
  FROM charges LEFT JOIN jobs ON jobs.id = charges.job_id
 WHERE state = 'held' ORDER BY charges.id DESC LIMIT ?
"""


def holds(db: sqlite3.Connection, *, limit: int, runner_lives: bool) -> tuple[HeldCall, ...]:
    """The newest calls whose hold counts, newest first. `runner_lives`: a runner holds the home."""
    flying = IN_FLIGHT if runner_lives else charges.ORPHANED
    return tuple(
        HeldCall(
            id=row[0],
            day=row[1],
            held_at=UnixMs(row[2]),
            task=row[3],
            job=row[4],
            model=row[5],
            hold=MicroUsd(row[6]),
            note=row[7],
            in_flight=runner_lives and row[8] is None,
            why=flying if row[8] is None else row[7] or "nobody knows what it cost",
        )
        for row in db.execute(HELD, (limit,))
    )


SUMS = """
SELECT count(*), coalesce(sum(hold), 0), coalesce(sum(stands), 0), coalesce(sum(stands * hold), 0),
       min(iif(stands, held_at, NULL))
  FROM (SELECT hold, held_at, ended_at IS NOT NULL OR NOT :runner_lives AS stands FROM charges WHERE state = 'held')
"""


def held(db: sqlite3.Connection, *, runner_lives: bool) -> Holds:
    """What is held in all, and how much of it only a person can free."""
    row = db.execute(SUMS, {"runner_lives": runner_lives}).fetchone()
    return Holds(
        calls=row[0],
        total=MicroUsd(row[1]),
        standing=row[2],
        standing_total=MicroUsd(row[3]),
        oldest=UnixMs(row[4]) if row[4] is not None else None,
    )


def _amount(settings: dict[str, str], key: str) -> MicroUsd | None:
    text = settings.get(key, "")
    return MicroUsd(int(text)) if text.isdigit() else None
