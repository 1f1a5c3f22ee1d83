"""When a schedule is due. Pure: a declaration and instants in, instants out."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from zoneinfo import ZoneInfo

from runner.config import ScheduleConfig
from runner.schedule.cron import CronLine
from runner.units import UnixMs, local

MOST_MISSED = 200
"""Missed slots of one schedule that get a row each; older ones share one."""


def due_after(schedule: ScheduleConfig, after: UnixMs) -> Iterator[UnixMs]:
    """Every due time later than an instant, in order; it may never end."""
    if schedule.at is not None:
        if schedule.at > after:
            yield schedule.at
    elif schedule.every_ms is not None:
        first = after - after % schedule.every_ms + schedule.every_ms
        yield from (UnixMs(at) for at in itertools.count(first, schedule.every_ms))
    elif schedule.cron is not None:
        for moment in CronLine(schedule.cron, local(after, schedule.zone)):
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
    back = (UnixMs(int(moment.timestamp()) * 1000) for moment in CronLine(line, local(now, zone), reverse=True))
    newest = list(itertools.islice(itertools.takewhile(lambda at: at > after, back), MOST_MISSED + 2))
    return UnixMs(newest[-1] - 1) if len(newest) == MOST_MISSED + 2 else None
