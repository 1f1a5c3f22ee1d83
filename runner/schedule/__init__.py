"""Schedules: when a task comes due, and one row for every due time, fired or skipped with its reason.

`due` says when, `deal` settles what is owed, `timer` calls. APScheduler is only the timer: when it fires, `deal` looks
at the clock and the table. Running it twice, late, or after the clock stepped therefore changes nothing.
"""

from __future__ import annotations

from runner.schedule.deal import MISSED, ON_TIME_MS, Dealt, alert_key, deal, declare, overdue, tell_overdue
from runner.schedule.due import MOST_MISSED, due_after, next_due, owed
from runner.schedule.timer import Timer

__all__ = [
    "MISSED",
    "MOST_MISSED",
    "ON_TIME_MS",
    "Dealt",
    "Timer",
    "alert_key",
    "deal",
    "declare",
    "due_after",
    "next_due",
    "overdue",
    "owed",
    "tell_overdue",
]
