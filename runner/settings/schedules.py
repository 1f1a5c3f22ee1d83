"""When a task is due, and what holds of its slots: keys of its table."""

from __future__ import annotations

import itertools
import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from runner.config import Hours, ScheduleConfig
from runner.settings.sections import given
from runner.settings.table import Table, quoted
from runner.units import DAY_MS, MINUTE_MS, SECOND_MS, UnixMs, parse_time

MOST_WAITING = 100
"""Slots of one schedule that may be kept waiting, and jobs of it that may be unfinished."""
_LONGEST_NAMED_TIME = 200
_WHEN = ("schedule", "every", "at")
_HOW = ("timezone", "catch_up", "catch_up_limit", "max_lateness", "overlap", "hours")
_A_YEAR_OF_SLOTS = 366
# A leap year's start, so that an answer is the same whenever it is asked for.
_START = datetime(2024, 1, 1, tzinfo=UTC)


def read_schedule(table: Table, zone: ZoneInfo) -> ScheduleConfig | None:
    """The schedule of a task; None where it has none, or a bad one that was noted."""
    zone = table.zone("timezone") or zone
    cron = _cron(table)
    every_ms = table.span("every", SECOND_MS, 366 * DAY_MS)
    at = _at(table, zone)
    hours = _hours(table)
    how = given(
        catch_up=table.choice("catch_up", ("latest", "none", "all")),
        catch_up_limit=table.count("catch_up_limit", 1, MOST_WAITING),
        max_lateness_ms=table.span("max_lateness", MINUTE_MS, 366 * DAY_MS),
        overlap=table.count("overlap", 1, MOST_WAITING),
        hours=hours,
    )
    _check_together(table)
    if cron is None and every_ms is None and at is None:
        return None
    schedule = ScheduleConfig(cron=cron, every_ms=every_ms, at=at, zone=zone, **how)
    if hours is not None and at is None and not _ever_inside(schedule, hours):
        table.refuse("hours", f"is {hours}, and none of its due times lies inside: it would never run")
    return schedule


def _check_together(table: Table) -> None:
    """What says the opposite of its neighbour, or nothing without it."""
    written = [key for key in _WHEN if key in table]
    for key in written[1:]:
        table.refuse(key, f"cannot stand beside {written[0]}; a task has one of schedule, every and at")
    if not written:
        for key in _HOW:
            if key in table:
                table.refuse(key, "means nothing to a task without schedule, every or at")
        return
    catch_up = table.raw("catch_up")
    if "catch_up_limit" in table and catch_up != "all":
        table.refuse("catch_up_limit", 'means nothing without catch_up = "all"')
    if "max_lateness" in table and catch_up == "none":
        table.refuse("max_lateness", 'cannot stand beside catch_up = "none", which skips what is a minute late')
    if "hours" in table and "at" in table:
        table.refuse("hours", "cannot stand beside at, which names the one time itself")


def _cron(table: Table) -> str | None:
    line = table.text("schedule", such_as="0 6 * * *")
    if line is None:
        return None
    fields = line.split()
    if len(fields) != 5 or len(line) > _LONGEST_NAMED_TIME:
        table.refuse("schedule", f'must be the five fields of a cron line such as "0 6 * * *", not {quoted(line)}')
        return None
    try:
        next(CronSim(line, _START))
    except CronSimError as error:
        table.refuse("schedule", f"is {quoted(line)}, which is not a cron line: {str(error).lower()}")
    except StopIteration:
        table.refuse("schedule", f"is {quoted(line)}, which never comes due")
    else:
        return " ".join(fields)
    return None


def _at(table: Table, zone: ZoneInfo) -> UnixMs | None:
    text = table.text("at", such_as="2027-01-01T06:00")
    if text is None:
        return None
    try:
        return parse_time(text, zone)
    except ValueError as error:
        table.refuse("at", f"is refused: {error}")
        return None


def _hours(table: Table) -> Hours | None:
    text = table.text("hours", such_as="08:00-20:00")
    if text is None:
        return None
    found = re.fullmatch(r"([01][0-9]|2[0-4]):([0-5][0-9])-([01][0-9]|2[0-4]):([0-5][0-9])", text)
    if found is not None:
        begin, end = (int(found[place]) * 60 + int(found[place + 1]) for place in (1, 3))
        if begin < 1440 and end <= 1440 and begin != end:
            return Hours(begin, end)
    table.refuse("hours", f'must be two different times of the day such as "08:00-20:00", not {quoted(text)}')
    return None


def _ever_inside(schedule: ScheduleConfig, hours: Hours) -> bool:
    """Whether some due time of the schedule lies in its running hours, as far as a year of them tells."""
    if schedule.cron is not None:
        cron = CronSim(schedule.cron, _START)
        return any(hours.has(hour * 60 + minute) for hour in cron.hours for minute in cron.minutes)
    every_ms = schedule.every_ms or DAY_MS
    inside_ms = ((hours.end - hours.begin) % 1440 or 1440) * MINUTE_MS
    if every_ms <= inside_ms:
        return True
    start = int(_START.timestamp()) * 1000 // every_ms * every_ms
    slots = itertools.islice(itertools.count(start, every_ms), max(_A_YEAR_OF_SLOTS, DAY_MS // every_ms + 1))
    return any(hours.cover(at, schedule.zone) for at in slots)
