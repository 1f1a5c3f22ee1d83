"""Schedules: when a task comes due, and one row for every due time, fired or skipped with its reason.

`due` says when, `deal` settles what is owed, `watch` tells of one that does not do its work, `timer` calls. APScheduler
is only the timer: when it fires, `deal` looks at the clock and the table. Running it twice, late, or after the clock
stepped therefore changes nothing.
"""

from __future__ import annotations

from runner.schedule.deal import MISSED, ON_TIME_MS, Dealt, deal, declare
from runner.schedule.due import MOST_MISSED, due_after, next_due, owed
from runner.schedule.timer import Timer
from runner.schedule.watch import overdue, tell_overdue

__all__ = [
    "MISSED",
    "MOST_MISSED",
    "ON_TIME_MS",
    "Dealt",
    "Timer",
    "deal",
    "declare",
    "due_after",
    "next_due",
    "overdue",
    "owed",
    "tell_overdue",
]
