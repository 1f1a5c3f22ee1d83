"""APScheduler as nothing more than an alarm clock: it calls back when a schedule comes due."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

from runner.config import ScheduleConfig, TaskConfig
from runner.schedule.due import next_due
from runner.units import UnixMs


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
