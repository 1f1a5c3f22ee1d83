"""The list of schedules."""

from __future__ import annotations

from collections.abc import Sequence

from console.format import in_time, when
from console.look import Role
from console.views.table import Column, Listing, Row
from runner.snapshot import ScheduleView

_COLUMNS = (
    Column(title="schedule", width=14, grow=1, most=28),
    Column(title="when", width=18, rank=2, grow=1, most=40),
    Column(title="next", width=12, right=True),
    Column(title="", width=8, rank=1),
    Column(title="last slot", width=12, right=True, rank=3),
    Column(title="state", width=12, grow=3),
)


def schedules(views: Sequence[ScheduleView], now: int) -> Listing:
    """Every schedule, by name."""
    return Listing(
        columns=_COLUMNS,
        rows=tuple(_row(view, now) for view in views),
        empty="no schedule is declared: give a task schedule, every or at in afk.toml",
    )


def _row(view: ScheduleView, now: int) -> Row:
    schedule = view.schedule
    if view.overdue_ms:
        state, role = view.note or "", Role.BAD
    elif view.paused is not None:
        state, role = f"paused: {view.paused}", Role.WARN
    elif view.schedule.waiting:
        state, role = view.note or "", Role.DIM
    elif view.last_skipped is not None:
        state, role = f"skipped: {view.last_skipped}", Role.WARN
    else:
        state, role = "on", Role.GOOD
    return Row(
        schedule.name,
        (
            (schedule.name, Role.PLAIN),
            (view.when, Role.DIM),
            (when(schedule.next_at, now), Role.PLAIN),
            (in_time(schedule.next_at - now) if schedule.next_at is not None else "", Role.DIM),
            (when(schedule.last_slot, now), Role.DIM),
            (state, role),
        ),
    )
