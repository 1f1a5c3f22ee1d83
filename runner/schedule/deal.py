"""Settling what a schedule owes: each slot becomes a job, is skipped with its reason, or waits for its turn."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runner.config import ScheduleConfig, TaskConfig
from runner.enqueue import JobRequest, insert_jobs, new_job
from runner.schedule.due import next_due, owed
from runner.schedule.watch import does_its_work, is_dealt_with, loses
from runner.store import controls, events, jobs, schedules
from runner.store.jobs import JobStatus
from runner.store.schedules import Schedule
from runner.units import MINUTE_MS, UnixMs, duration, iso, plural

ON_TIME_MS = MINUTE_MS
"""A slot dealt with later than this was missed."""
MISSED = "missed, for nobody could deal with it in time"
_ALL_MISSED = "missed, for nobody could deal with them in time"
_OUTSIDE = "outside its running hours"


@dataclass(frozen=True, slots=True)
class Dealt:
    """What became of what was owed."""

    added: int = 0
    """Jobs."""
    waiting: int = 0
    """Slots that wait for an earlier one's job to end."""


def deal(
    db: sqlite3.Connection, task: TaskConfig, *, tasks: Mapping[str, TaskConfig], max_attempts: int, now: UnixMs
) -> Dealt:
    """Settle every slot a schedule owes, in the caller's transaction.

    What a clock that was ahead left behind silences nothing: only slots that are due by now count as dealt with, and
    those it skipped come due again. One that became a job never fires twice.
    """
    schedule = task.schedule
    row = schedules.get(db, task.name, now=now)
    if row is None or schedule is None:
        return Dealt()
    schedules.forget_ahead(db, name=task.name, now=now)
    due, older = owed(schedule, after=min(row.dealt_to, now), now=now)
    schedules.set_next(db, name=task.name, at=next_due(schedule, now))
    is_dealt_with(db, task.name, now=now)
    if not due:
        schedules.dealt(db, name=task.name, to=min(row.dealt_to, now), waiting=0)
        return Dealt()
    look = _Look(db, task, schedule, now)
    look.tell_older(due[0], older)
    settled = schedules.settled_since(db, task.name, due[0])
    left = [at for at in due if at not in settled]
    if schedule.catch_up == "all":
        fire, wait = look.in_turn(left)
    else:
        fire, wait = look.latest(left, newest=due[-1]), []
    schedules.dealt(db, name=task.name, to=UnixMs(wait[0] - 1) if wait else due[-1], waiting=len(wait))
    added = sum(_fire(db, task, at, tasks=tasks, max_attempts=max_attempts, now=now) for at in fire)
    if fire or look.is_paused:
        does_its_work(db, task.name, now=now)
    elif look.lost:
        loses(db, task.name, look.lost, now=now)
    return Dealt(added, len(wait))


class _Look:
    """One look at what one schedule owes: says what runs, and writes down what does not."""

    def __init__(self, db: sqlite3.Connection, task: TaskConfig, schedule: ScheduleConfig, now: UnixMs) -> None:
        self._db = db
        self._name = task.name
        self._schedule = schedule
        self._now = now
        self.lost: dict[UnixMs, str] = {}
        """Slots that were skipped although nobody wanted it, and why."""
        self.is_paused = False

    def tell_older(self, first: UnixMs, older: int | None) -> None:
        """One row for all before `first`, which are too many for a row each."""
        if older != 0:
            earlier = "earlier ones" if older is None else f"{older - 1} more"
            self._skip(UnixMs(first - 1), f"this and {earlier} were {_ALL_MISSED}")

    def latest(self, left: Sequence[UnixMs], *, newest: UnixMs) -> list[UnixMs]:
        """Skip all but the newest that lies in the running hours, and that one too when something holds it."""
        inside = [at for at in left if self._inside(at)]
        reason = None
        if inside:
            reason = self._pause() or self._late(inside[-1]) or self._busy()
        runs = not left or left[-1] != newest or bool(inside and reason is None)
        for at in left:
            if at not in inside:
                self._skip(at, self._outside())
            elif at != inside[-1] or left[-1] != newest:  # the newest of all was dealt with before: none goes after it
                self._skip(at, f"{MISSED}; the latest one is run instead" if runs else MISSED)
            elif reason is not None:
                self._skip(at, reason)
        return inside[-1:] if inside and reason is None and left[-1] == newest else []

    def in_turn(self, left: Sequence[UnixMs]) -> tuple[list[UnixMs], list[UnixMs]]:
        """Those that run now, the oldest first, and those that wait for them. What lies between these waits too."""
        most = self._schedule.catch_up_limit
        inside = [at for at in left if self._inside(at)]
        kept = inside[-most:]
        free = self._schedule.overlap - len(_unfinished(self._db, self._name))
        pause = self._pause()
        fire: list[UnixMs] = []
        for place, at in enumerate(left):
            if at not in inside:
                self._skip(at, self._outside())
            elif at not in kept:
                self._skip(at, f"{MISSED}, and catch_up_limit is {most}")
            elif reason := pause or self._late(at):
                self._skip(at, reason)
            elif len(fire) < free:
                fire.append(at)
            else:
                return fire, [later for later in left[place:] if later in kept]
        return fire, []

    def _inside(self, at: UnixMs) -> bool:
        hours = self._schedule.hours
        return hours is None or hours.cover(at, self._schedule.zone)

    def _outside(self) -> str:
        return f"{_OUTSIDE} {self._schedule.hours}"

    def _pause(self) -> str | None:
        pause = controls.paused(self._db, self._name)
        self.is_paused = pause is not None
        return f"paused by {pause.by}: {pause.reason}" if pause is not None else None

    def _late(self, at: UnixMs) -> str | None:
        late = self._now - at
        most = self._schedule.max_lateness_ms
        if most is not None and late > most:
            return f"missed by {duration(late)}, and its max_lateness is {duration(most)}"
        if late > ON_TIME_MS and self._schedule.catch_up == "none":
            return f'{MISSED}, and catch_up is "none"'
        if late > ON_TIME_MS and not self._inside(self._now):
            return f"{MISSED}, and by then its running hours {self._schedule.hours} were over"
        return None

    def _busy(self) -> str | None:
        busy = _unfinished(self._db, self._name)
        if len(busy) < self._schedule.overlap:
            return None
        if self._schedule.overlap == 1:
            held = self._held(busy[0])
            return f"the job of an earlier slot, {busy[0].key}, is still {busy[0].status}{held}"
        first, most = busy[0].key, self._schedule.overlap
        return f"{len(busy)} jobs of earlier slots are not over, {first} the first, and its overlap is {most}"

    def _held(self, job: jobs.Job) -> str:
        """Behind what such a job waits; empty when it runs, or when it is the next one."""
        if job.status is not JobStatus.PENDING:
            return ""
        if job.not_before > self._now:
            return f": {job.waiting_on}" if job.waiting_on else ""
        ahead = jobs.ahead_of(self._db, job, now=self._now)
        return f": {ahead}; {jobs.first_by(job)}" if ahead else ""

    def _skip(self, due_at: UnixMs, reason: str) -> None:
        if _skip(self._db, self._name, due_at, reason, now=self._now):
            self.lost[due_at] = reason


def _skip(db: sqlite3.Connection, name: str, due_at: UnixMs, reason: str, *, now: UnixMs) -> bool:
    """Write it down; whether that is something to tell."""
    taken = schedules.take_slot(db, schedule=name, due_at=due_at, now=now, skipped=reason)
    if not taken or reason.startswith(_OUTSIDE):  # that is as its owner wrote it, night after night
        return False
    text = f"slot {iso(due_at)} skipped: {reason}"
    events.record(db, now=now, level=events.WARN, event="slot.skipped", text=text, task=name)
    return True


def _unfinished(db: sqlite3.Connection, name: str) -> list[jobs.Job]:
    """Jobs of a schedule's slots that are not over, the oldest slot's first."""
    found = []
    for due_at, key in schedules.open_slots(db, name):
        job = jobs.by_key(db, key)
        if job is not None and job.status in (JobStatus.PENDING, JobStatus.RUNNING):
            found.append(job)
        else:
            schedules.close_slot(db, schedule=name, due_at=due_at)
    return found


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


def declare(db: sqlite3.Connection, tasks: Mapping[str, TaskConfig], *, max_attempts: int, now: UnixMs) -> None:
    """Write down what schedules there are, in the caller's transaction. `max_attempts`: of tasks that say nothing.

    A schedule that is declared otherwise than before starts anew; what it owed by then is a row that says so.
    """
    kept = {name: task for name, task in tasks.items() if task.schedule is not None}
    for row in schedules.all_of(db, now=now):
        task = kept.get(row.name)
        spec = task.schedule.spec if task is not None and task.schedule is not None else None
        if spec != row.spec:
            _end(db, row, became=spec, now=now)
    schedules.forget_others(db, list(kept))
    for name, task in kept.items():
        if task.schedule is not None:
            schedules.declare(
                db,
                name=name,
                spec=task.schedule.spec,
                policy=task.schedule.policy,
                overlap=task.schedule.overlap,
                priority=task.priority,
                max_attempts=task.max_attempts or max_attempts,
                next_at=next_due(task.schedule, now),
                now=now,
            )
    schedules.reopen(db)  # or they would fire beside a job that an older program wrote down


def _end(db: sqlite3.Connection, row: Schedule, *, became: str | None, now: UnixMs) -> None:
    """A schedule is no more what it was: what it still owes is a row."""
    is_dealt_with(db, row.name, now=now)
    does_its_work(db, row.name, now=now)
    how = f"was changed to {became}" if became else "was taken out of the configuration"
    if row.waiting and row.last_slot is not None:
        reason = f"{plural(row.waiting, 'slot')} waited for an earlier one's job to end, and then it {how}"
        _skip(db, row.name, UnixMs(row.last_slot + 1), reason, now=now)
    if row.next_at is not None and row.next_at <= now:
        _skip(db, row.name, row.next_at, f"this and any later one were {_ALL_MISSED}, and then it {how}", now=now)
