"""Schedules: when a task comes due, and one row for every due time, fired or skipped with its reason.

APScheduler is only the timer: when it fires, `deal` looks at the clock and the table and settles every slot that is
owed. Running it twice, late, or after the clock stepped therefore changes nothing.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger
from cronsim import CronSim

from runner.config import ScheduleConfig, TaskConfig
from runner.enqueue import JobRequest, insert_jobs, new_job
from runner.store import controls, events, jobs, schedules
from runner.store.jobs import JobStatus
from runner.units import UnixMs, iso, local

MOST_MISSED = 200
"""Missed slots of one schedule that get a row each; older ones share one."""
ON_TIME_MS = 60_000
"""A slot dealt with later than this was missed."""
MISSED = "missed, for nobody could deal with it in time"


def due_after(schedule: ScheduleConfig, after: UnixMs) -> Iterator[UnixMs]:
    """Every due time later than an instant, in order; it may never end."""
    if schedule.at is not None:
        if schedule.at > after:
            yield schedule.at
    elif schedule.every_ms is not None:
        first = after - after % schedule.every_ms + schedule.every_ms
        yield from (UnixMs(at) for at in itertools.count(first, schedule.every_ms))
    elif schedule.cron is not None:
        for moment in CronSim(schedule.cron, local(after, schedule.zone)):
            at = UnixMs(int(moment.timestamp()) * 1000)
            if at > after:
                yield at


def next_due(schedule: ScheduleConfig, after: UnixMs) -> UnixMs | None:
    """The first due time later than an instant; None: never again."""
    return next(due_after(schedule, after), None)


def owed(schedule: ScheduleConfig, *, after: UnixMs, now: UnixMs) -> tuple[list[UnixMs], int | None]:
    """Due times later than `after` up to `now`: the newest `MOST_MISSED`, and how many older ones there were.

    None for some that nobody counted: years of a cron line would hold up every other write.
    """
    older: int | None = 0
    if schedule.every_ms is not None:
        after = UnixMs(after - after % schedule.every_ms)
        older = max(0, (now - after) // schedule.every_ms - MOST_MISSED)
        after = UnixMs(after + older * schedule.every_ms)
    elif schedule.cron is not None:
        start = _near_the_end(schedule.cron, schedule.zone, after=after, now=now)
        older, after = (0, after) if start is None else (None, start)
    found = list(itertools.takewhile(lambda at: at <= now, due_after(schedule, after)))
    if len(found) > MOST_MISSED:
        older = None
    return found[-MOST_MISSED:], older


def _near_the_end(line: str, zone: ZoneInfo, *, after: UnixMs, now: UnixMs) -> UnixMs | None:
    """An instant with about `MOST_MISSED` due times from it up to `now`; None: there are fewer later than `after`.

    Only an estimate, as looking back and looking ahead differ where clocks change.
    """
    back = (UnixMs(int(moment.timestamp()) * 1000) for moment in CronSim(line, local(now, zone), reverse=True))
    newest = list(itertools.islice(itertools.takewhile(lambda at: at > after, back), MOST_MISSED + 2))
    return UnixMs(newest[-1] - 1) if len(newest) == MOST_MISSED + 2 else None


def deal(
    db: sqlite3.Connection, task: TaskConfig, *, tasks: Mapping[str, TaskConfig], max_attempts: int, now: UnixMs
) -> int:
    """Settle every slot a schedule owes, in the caller's transaction; how many jobs were added (0 or 1).

    What a clock that was ahead left behind silences nothing: only slots that are due by now count as dealt with, and
    those it skipped come due again. One that became a job never fires twice.
    """
    row = schedules.get(db, task.name, now=now)
    if row is None or task.schedule is None:
        return 0
    schedules.forget_ahead(db, name=task.name, now=now)
    last = schedules.last_slot(db, task.name, now=now)
    after = UnixMs(max(min(row.since, now), last if last is not None else 0))
    due, older = owed(task.schedule, after=after, now=now)
    schedules.set_next(db, name=task.name, at=next_due(task.schedule, now))
    if not due:
        return 0
    reason = _reason_to_skip(db, task, due[-1], now=now)
    if older != 0:
        earlier = "earlier ones" if older is None else f"{older - 1} more"
        _skip(db, task.name, UnixMs(due[0] - 1), f"this and {earlier} were {MISSED.replace(' it ', ' them ')}", now=now)
    for missed in due[:-1]:
        _skip(db, task.name, missed, MISSED if reason else f"{MISSED}; the latest one is run instead", now=now)
    if reason is not None:
        _skip(db, task.name, due[-1], reason, now=now)
        return 0
    return _fire(db, task, due[-1], tasks=tasks, max_attempts=max_attempts, now=now)


def _fire(
    db: sqlite3.Connection,
    task: TaskConfig,
    due_at: UnixMs,
    *,
    tasks: Mapping[str, TaskConfig],
    max_attempts: int,
    now: UnixMs,
) -> int:
    key = f"{task.name}@{iso(due_at)}"
    if not schedules.take_slot(db, schedule=task.name, due_at=due_at, now=now, job_key=key):
        return 0
    request = JobRequest(task=task.name, payload={}, key=key)
    insert_jobs(
        db,
        [new_job(tasks, request, now=now, max_attempts=max_attempts)],
        now=now,
        by=f"its schedule, due {iso(due_at)}",
    )
    return 1


def _reason_to_skip(db: sqlite3.Connection, task: TaskConfig, due_at: UnixMs, *, now: UnixMs) -> str | None:
    pause = controls.paused(db, task.name)
    if pause is not None:
        return f"paused by {pause.by}: {pause.reason}"
    if task.schedule is not None and task.schedule.catch_up == "none" and now - due_at > ON_TIME_MS:
        return f'{MISSED}, and catch_up is "none"'
    for key in schedules.last_jobs(db, task.name, now=now):
        job = jobs.by_key(db, key)
        if job is not None and job.status in (JobStatus.PENDING, JobStatus.RUNNING):
            return f"the job of an earlier slot, {job.key}, is still {job.status}"
    return None


def _skip(db: sqlite3.Connection, name: str, due_at: UnixMs, reason: str, *, now: UnixMs) -> None:
    if schedules.take_slot(db, schedule=name, due_at=due_at, now=now, skipped=reason):
        text = f"slot {iso(due_at)} skipped: {reason}"
        events.record(db, now=now, level=events.WARN, event="slot.skipped", text=text, task=name)


def declare(db: sqlite3.Connection, tasks: Mapping[str, TaskConfig], *, max_attempts: int, now: UnixMs) -> None:
    """Write down what schedules there are, in the caller's transaction. `max_attempts`: of tasks that say nothing."""
    schedules.forget_others(db, [name for name, task in tasks.items() if task.schedule is not None])
    for name, task in tasks.items():
        if task.schedule is not None:
            most, spec = task.max_attempts or max_attempts, task.schedule.spec
            schedules.declare(db, name=name, spec=spec, priority=task.priority, max_attempts=most, now=now)


class _Due(BaseTrigger):  # type: ignore[misc] # the library has no types
    """What cron means by a line, for APScheduler, whose cron trigger counts weekdays and time changes otherwise."""

    def __init__(self, schedule: ScheduleConfig) -> None:
        self._schedule = schedule

    def get_next_fire_time(
        self,
        previous_fire_time: datetime | None,  # noqa: ARG002 - a clock that was ahead may have set it far into the future
        now: datetime,
    ) -> datetime | None:
        at = next_due(self._schedule, UnixMs(int(now.timestamp() * 1000)))
        return datetime.fromtimestamp(at / 1000, UTC) if at is not None else None


class Timer:
    """Calls back when a schedule comes due."""

    def __init__(self, tasks: Mapping[str, TaskConfig], fire: Callable[[str], Any]) -> None:
        """`fire` is awaited with the task's name."""
        self._scheduler = AsyncIOScheduler(
            timezone=UTC, job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
        )
        self._schedules = {name: task.schedule for name, task in tasks.items() if task.schedule is not None}
        self._fire = fire
        self._add_all()

    def _add_all(self) -> None:
        for name, schedule in self._schedules.items():
            self._scheduler.add_job(self._fire, _Due(schedule), args=[name], id=name, replace_existing=True)

    def start(self) -> None:
        """From now on."""
        self._scheduler.start()

    def wake(self) -> None:
        """The wall clock jumped or the machine slept: its timers ran on another clock."""
        if self._scheduler.running:
            self._add_all()  # each anew: its next time may lie as far ahead as the clock was

    def stop(self) -> None:
        """Fire no more."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
