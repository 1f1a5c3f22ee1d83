"""The file of the morning: once a day, from a time of day on, the report becomes `reports/YYYY-MM-DD.md`.

Where no runner lives then, as where cron starts one before that time, the next one writes it, be it the day after.
"""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from runner.config import ReportConfig
from runner.errors import StoreError
from runner.home import Home
from runner.report import file
from runner.report.markdown import markdown
from runner.snapshot import Reader
from runner.store import events, runners
from runner.store.writer import Writer
from runner.units import Clock, UnixMs, day_of, local


class Morning:
    """Looks now and then whether the day's file is due, and writes it beside the loop."""

    def __init__(self, home: Home, config: ReportConfig, *, zone: ZoneInfo, writer: Writer, clock: Clock) -> None:
        self._home = home
        self._config = config
        self._zone = zone
        self._writer = writer
        self._clock = clock
        self._dealt_with = ""
        """The day whose file was written, was there, or could not be written."""

    async def look(self) -> None:
        """Write the newest file that is due. A day that cannot have one has an event that says why."""
        now = self._clock.now()
        if self._config.at is None:
            return
        due = self._due(now, self._config.at)
        day = day_of(due, self._zone)
        if day == self._dealt_with:
            return
        self._dealt_with = day
        path = self._home.reports / f"{day}.md"
        try:
            written = await asyncio.to_thread(self._write, path, due, now)
            level, event, text = events.INFO, "report.written", f"the report of the morning is {path}"
        except (OSError, StoreError) as error:
            written, level, event = True, events.WARN, "report.failed"
            text = f"the report of the morning was not written: {error}; `afk-runner report` prints it"
        if written:
            await self._writer.write(lambda db: events.record(db, now=now, level=level, event=event, text=text))

    def _due(self, now: UnixMs, at: int) -> UnixMs:
        """When one was due last by the clock on the wall, also where that clock was put forward over the time."""
        today = local(now, self._zone).date()
        for day in (today, today - timedelta(days=1)):
            moment = datetime.combine(day, time(*divmod(at, 60)), tzinfo=self._zone)
            due = UnixMs(int(moment.timestamp()) * 1000)
            if due <= now:
                break
        return due

    def _write(self, path: Path, due: UnixMs, now: UnixMs) -> bool:
        """False: it is there already, or there is nothing to report, as nothing ran here before it was due."""
        if path.exists():
            return False
        reader = Reader(self._home)
        try:
            with reader.reading() as db:
                if not _ran_before(db, due):
                    return False
            report = reader.report(now=now)
        finally:
            reader.close()
        path.parent.mkdir(mode=0o700, exist_ok=True)
        file.write(path, markdown(report))
        file.retain(path.parent, keep=self._config.keep)
        return True


def _ran_before(db: sqlite3.Connection, at: UnixMs) -> bool:
    first = runners.first_started(db)
    return first is not None and first < at
