"""Schedules as tests declare them, and what became of their slots."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from sqlite3 import Connection
from typing import Any
from zoneinfo import ZoneInfo

from runner import schedule
from runner.config import ScheduleConfig, TaskConfig, TaskKind
from runner.units import UnixMs

BERLIN, CAIRO, UTC_ZONE = (ZoneInfo(name) for name in ("Europe/Berlin", "Africa/Cairo", "UTC"))


def ms(text: str) -> UnixMs:
    """`2026-03-29 01:00` UTC as milliseconds."""
    return UnixMs(int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000)


START = ms("2026-01-01 00:00")


def local(at: int, zone: ZoneInfo) -> str:
    """As a clock on the wall shows it."""
    return datetime.fromtimestamp(at / 1000, zone).strftime("%m-%d %H:%M%z")


def cron(line: str, zone: ZoneInfo = UTC_ZONE, **policy: Any) -> ScheduleConfig:
    return ScheduleConfig(cron=line, zone=zone, **policy)


def every(ms: int, zone: ZoneInfo = UTC_ZONE, **policy: Any) -> ScheduleConfig:
    return ScheduleConfig(every_ms=ms, zone=zone, **policy)


def first(what: ScheduleConfig, after: str, count: int) -> list[str]:
    """The next due times in the schedule's own zone."""
    found = itertools.islice(schedule.due_after(what, ms(after)), count)
    return [local(at, what.zone) for at in found]


def task(what: ScheduleConfig) -> TaskConfig:
    return TaskConfig(name="digest", kind=TaskKind.PROMPT, model="offline/extract", prompt="x", schedule=what)


def declared(db: Connection, what: ScheduleConfig, *, now: int = START) -> TaskConfig:
    """The task `digest`, declared."""
    made = task(what)
    schedule.declare(db, {"digest": made}, max_attempts=4, now=UnixMs(now))
    return made


def deal(db: Connection, what: TaskConfig, *, now: int) -> int:
    """How many jobs were added."""
    return schedule.deal(db, what, tasks={"digest": what}, max_attempts=4, now=UnixMs(now)).added


def end_all(db: Connection) -> None:
    """Every job is done."""
    db.execute("UPDATE jobs SET status = 'done', finished_at = 0")


def slots(db: Connection) -> list[tuple[int, str | None, str | None]]:
    """Due time, job and reason of each."""
    return db.execute("SELECT due_at, job_key, skipped FROM slots ORDER BY due_at").fetchall()


def fired(db: Connection) -> list[int]:
    """Due times that became a job."""
    return [due_at for due_at, job, _ in slots(db) if job]


def reason_at(db: Connection, due_at: int) -> str | None:
    """Why a slot was not run; None: it was."""
    found: str | None = db.execute("SELECT skipped FROM slots WHERE due_at = ?", (due_at,)).fetchone()[0]
    return found
