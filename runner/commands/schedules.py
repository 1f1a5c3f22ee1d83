"""Acts on schedules beyond pausing them: a run between two slots."""

from __future__ import annotations

import sqlite3

from runner.commands.base import Acts
from runner.enqueue import Enqueued, insert_jobs
from runner.errors import NotFound, Refused
from runner.settings import nearest
from runner.store import controls, jobs, schedules
from runner.store.jobs import JobStatus, NewJob
from runner.units import UnixMs, iso


class ScheduleActs(Acts):
    """What a person may do to a schedule."""

    def fire(self, name: str) -> Enqueued:
        """Queue one job of a schedule now, beside its slots, which come due as ever.

        Raises NotFound; Refused while it is paused, and while as many of its jobs, of slots or fired, are not over as
        its overlap allows.
        """

        def act(db: sqlite3.Connection, now: UnixMs) -> Enqueued:
            schedule = schedules.get(db, name, now=now)
            if schedule is None:
                near = nearest(name, [one.name for one in schedules.all_of(db, now=now)])
                raise NotFound(f"there is no schedule {name!r}{near}; `afk-runner schedules` lists them")
            pause = controls.paused(db, name)
            if pause is not None:
                way = f"`afk-runner unpause {name}` comes first"
                raise Refused(f"{name} is paused by {pause.by}: {pause.reason}; {way}")
            keys = [key for _, key in schedules.open_slots(db, name)]
            found = [*(jobs.by_key(db, key) for key in keys), jobs.last_beginning(db, f"{name}@fired-")]
            busy = [job for job in found if job is not None and job.status in (JobStatus.PENDING, JobStatus.RUNNING)]
            if len(busy) >= schedule.overlap:
                most = "one" if schedule.overlap == 1 else f"at most {schedule.overlap}"
                raise Refused(
                    f"{name} is not fired: {busy[0].key} is still {busy[0].status}, and it runs {most} at a time"
                )
            made = NewJob(
                key=f"{name}@fired-{iso(now)}",
                task=name,
                payload="{}",
                not_before=now,
                max_attempts=schedule.max_attempts,
                priority=schedule.priority,
            )
            queued = insert_jobs(db, [made], now=now, by=f"{self._by}, who fired it")[0]
            self._event(db, now, "schedule.fire", f"{name} fired by {self._by} as {queued.key}", task=name)
            return queued

        return self._transact(act)
