"""THE READ DOOR: everything a screen or a listing may know, as frozen values.

A `Reader` holds one read-only connection. Each call is one short read transaction; nothing here writes or waits.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from runner.errors import NotFound, StoreMissing, StoreNewer
from runner.home import Home
from runner.store import attempts, breakers, charges, controls, events, jobs, runners, schedules, steps
from runner.store.attempts import Attempt
from runner.store.breakers import Breaker, BreakerState
from runner.store.db import open_reader, schema_version, translate
from runner.store.events import Event
from runner.store.jobs import Job, JobStatus
from runner.store.runners import Runner, RunState
from runner.store.schedules import Schedule
from runner.units import HOUR_MS, MicroUsd, UnixMs, day_of, iso, midnight_after

__all__ = [
    "Attempt",
    "Breaker",
    "BreakerState",
    "Counts",
    "Event",
    "Health",
    "Job",
    "JobDetail",
    "JobStatus",
    "Reader",
    "RunState",
    "Runner",
    "RunnerView",
    "Schedule",
    "ScheduleView",
    "SpendView",
    "StopView",
    "Vitals",
    "status_json",
]

LATE_MS = 5_000
"""A heartbeat older than this is late: two beats were missed."""
SILENT_MS = 10_000
"""A heartbeat older than this, with the lock still held, is a runner that hangs."""
CUT = 500
"""Characters of a long text that a list shows."""
NOTHING = MicroUsd(0)


class Health(StrEnum):
    """What can be observed of the runner, whatever it last said of itself."""

    LIVE = "live"
    LATE = "late"
    SILENT = "silent"
    """It holds the lock and says nothing: hung or frozen."""
    DEAD = "dead"
    """It holds no lock and did not say goodbye."""
    STOPPED = "stopped"
    """It said goodbye."""
    NEVER = "never"
    """No runner was ever started on this home."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerView:
    """The runner that holds, or last held, the home."""

    health: Health = Health.NEVER
    row: Runner | None = None
    heartbeat_age_ms: int | None = None

    @property
    def trusted(self) -> bool:
        """False when the numbers beside it may be old: show them with a `?`."""
        return self.health in (Health.LIVE, Health.STOPPED, Health.NEVER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Jobs by status."""

    pending: int = 0
    running: int = 0
    done: int = 0
    halted: int = 0
    cancelled: int = 0
    dead: int = 0
    oldest_pending_ms: int | None = None
    """How long the longest waiting due job has been due; None when none is due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendView:
    """Today's money against the day's cap."""

    day: str
    zone: str
    cap: MicroUsd | None
    """None: no runner has told its configuration yet."""
    settled: MicroUsd = NOTHING
    held: MicroUsd = NOTHING
    last_hour: MicroUsd = NOTHING
    """Committed in the last 60 minutes: the burn rate per hour."""
    resets_at: UnixMs
    reached_at: UnixMs | None = None
    """When the cap is reached at the burn rate of the last hour; None: not before it resets."""

    @property
    def free(self) -> MicroUsd | None:
        """What may still be held today, never below zero; None without a cap."""
        return None if self.cap is None else MicroUsd(max(0, self.cap - self.settled - self.held))


@dataclass(frozen=True, slots=True, kw_only=True)
class StopView:
    """Whether anything stops the runner, and who said so."""

    sources: tuple[str, ...] = ()
    """Of `file`, `row`, `env`."""
    now: bool = False
    """Without grace for calls in flight."""
    reason: str | None = None
    by: str | None = None
    at: UnixMs | None = None
    seq: int = 0

    @property
    def set(self) -> bool:
        """Any source is enough."""
        return bool(self.sources)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """What is always on the screen."""

    read_at: UnixMs
    change_seq: int
    runner: RunnerView
    counts: Counts
    spend: SpendView
    breakers: tuple[Breaker, ...]
    stop: StopView
    workers: int | None
    """As the runner was configured; None before the first run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDetail:
    """One job with all that is kept of it."""

    job: Job
    attempts: tuple[Attempt, ...]
    steps: dict[str, str] = field(default_factory=dict)
    """Name to recorded JSON."""
    why: str = ""
    """One sentence: why it is not running, with every gate that holds it and when each lifts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleView:
    """One schedule and whether it is paused."""

    schedule: Schedule
    paused: str | None
    """The reason of the pause."""
    last_skipped: str | None
    """Why the newest slot was not run; None when it was."""


class Reader:
    """Reads one database. Use it from one thread at a time; it outlives a replaced file."""

    def __init__(self, home: Home, *, db: Path | None = None) -> None:
        """Open the database of a home, or the one named. Raises StoreError."""
        self.home = home
        self.path = db or home.db
        self._connection = open_reader(self.path)
        self._inode = os.stat(self.path).st_ino
        self._version = -1
        self._schema = schema_version(self._connection)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def changed(self) -> bool:
        """True when another process committed since the last call; costs 3 us.

        Raises StoreMissing when the file was replaced, StoreNewer when its schema was changed: open it anew.
        """
        self._same_file()
        try:
            version = int(self._connection.execute("PRAGMA data_version").fetchone()[0])
            if version != self._version and schema_version(self._connection) != self._schema:
                raise StoreNewer(f"{self.path} was upgraded by another program; open it anew")
        except sqlite3.Error as error:
            raise translate(error, self.path) from error
        seen, self._version = self._version, version
        return version != seen

    def _same_file(self) -> None:
        try:
            inode = os.stat(self.path).st_ino
        except OSError:
            raise StoreMissing(f"{self.path} is gone; it was moved or deleted") from None
        if inode != self._inode:
            raise StoreMissing(f"{self.path} was replaced by another file; open it anew")

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        # Open, read, close: a read transaction held open lets the -wal file grow without bound.
        self._same_file()
        try:
            self._connection.execute("BEGIN")
            try:
                yield self._connection
            finally:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise translate(error, self.path) from error

    def vitals(self, *, now: UnixMs) -> Vitals:
        """The board."""
        with self._reading() as db:
            seq, *numbers = db.execute(
                "SELECT change_seq, pending, running, done, halted, cancelled, dead FROM board"
            ).fetchone()
            settings = controls.settings(db)
            runner = _runner(db, self.home, now=now)
            return Vitals(
                read_at=now,
                change_seq=seq,
                runner=runner,
                counts=Counts(
                    **dict(zip(("pending", "running", "done", "halted", "cancelled", "dead"), numbers, strict=True)),
                    oldest_pending_ms=_oldest(db, now=now),
                ),
                spend=_spend(db, settings, now=now),
                breakers=tuple(breakers.all_of(db)),
                stop=_stop(db, self.home, settings, runner),
                workers=int(settings["workers"]) if settings.get("workers", "").isdigit() else None,
            )

    def jobs(
        self,
        *,
        status: JobStatus | None = None,
        task: str | None = None,
        upto: int | None = None,
        after: int | None = None,
        limit: int = 50,
        cut: bool = False,
    ) -> tuple[Job, ...]:
        """The newest jobs, newest first: a page of them, whatever their number.

        `upto`: the newest of those with this id or an older one. `after`: the oldest of those newer than this id.
        `cut`: long texts shortened to CUT characters, as a list needs no more.
        """
        wanted = (("status = ?", status), ("task = ?", task), ("id <= ?", upto), ("id > ?", after))
        where = " AND ".join(["TRUE", *(clause for clause, given in wanted if given is not None)])
        values = [given for _, given in wanted if given is not None]
        order = "DESC" if after is None else "ASC"
        sql = f"SELECT {_columns(cut=cut)} FROM jobs WHERE {where} ORDER BY id {order} LIMIT ?"  # noqa: S608
        with self._reading() as db:
            found = [jobs.job_of(row) for row in db.execute(sql, (*values, limit))]
        return tuple(found if after is None else reversed(found))

    def running(self, *, limit: int = 200, cut: bool = False) -> tuple[tuple[Job, Attempt], ...]:
        """Running jobs, oldest first, each with the attempt in progress. `cut` as in `jobs`."""
        sql = f"SELECT {_columns(cut=cut)} FROM jobs WHERE status = 'running' ORDER BY id LIMIT ?"  # noqa: S608
        with self._reading() as db:
            found = [jobs.job_of(row) for row in db.execute(sql, (limit,)).fetchall()]
            pairs = []
            for job in found:
                history = attempts.of_job(db, job.id)
                if history:
                    pairs.append((job, history[-1]))
            return tuple(pairs)

    def dead(self, *, limit: int = 200, cut: bool = False) -> tuple[Job, ...]:
        """Dead letters, the newest first. `cut` as in `jobs`."""
        sql = f"SELECT {_columns(cut=cut)} FROM jobs WHERE status = 'dead' ORDER BY finished_at DESC, id DESC LIMIT ?"  # noqa: S608
        with self._reading() as db:
            return tuple(jobs.job_of(row) for row in db.execute(sql, (limit,)))

    def dead_ids(self, *, fingerprint: str | None = None) -> tuple[int, ...]:
        """Ids of all dead letters, or of those that share an error: the frozen set of a replay."""
        with self._reading() as db:
            if fingerprint is None:
                rows = db.execute("SELECT id FROM jobs WHERE status = 'dead' ORDER BY id").fetchall()
            else:
                rows = db.execute(
                    "SELECT id FROM jobs WHERE status = 'dead' AND fingerprint = ? ORDER BY id", (fingerprint,)
                ).fetchall()
        return tuple(int(row[0]) for row in rows)

    def recorded_steps(self, ids: Sequence[int]) -> int:
        """How many of these jobs have recorded steps: effects a replay does not do again."""
        marks = ", ".join("?" * len(ids))
        sql = f"SELECT count(DISTINCT job_id) FROM steps WHERE job_id IN ({marks})"  # noqa: S608 - marks only
        with self._reading() as db:
            return int(db.execute(sql, list(ids)).fetchone()[0])

    def job(self, key: str | int, *, now: UnixMs) -> JobDetail:
        """One job by its key, or by its id, which no other job ever gets. Raises NotFound."""
        column = "id" if isinstance(key, int) else "key"
        sql = f"SELECT {jobs.COLUMNS} FROM jobs WHERE {column} = ?"  # noqa: S608
        with self._reading() as db:
            row = db.execute(sql, (key,)).fetchone()
            if row is None:
                raise NotFound(f"there is no job {key!r}; `afk-runner jobs` lists them")
            job = jobs.job_of(row)
            runner = _runner(db, self.home, now=now)
            settings = controls.settings(db)
            return JobDetail(
                job=job,
                attempts=tuple(attempts.of_job(db, job.id)),
                steps=steps.of_job(db, job.id),
                why=_why(db, job, runner, _stop(db, self.home, settings, runner), now=now),
            )

    def events(
        self, *, after: int | None = None, limit: int = 200, levels: tuple[str, ...] = (), job: str | None = None
    ) -> tuple[Event, ...]:
        """Events after an id, or the newest; oldest first."""
        chosen = levels or (events.INFO, events.WARN, events.ERROR)
        with self._reading() as db:
            if after is None:
                return tuple(events.newest(db, limit=limit, levels=chosen, job=job))
            found = events.after(db, after, limit=limit)
        return tuple(event for event in found if event.level in chosen and (job is None or event.job == job))

    def schedules(self) -> tuple[ScheduleView, ...]:
        """Every schedule by name."""
        with self._reading() as db:
            views = []
            for schedule in schedules.all_of(db):
                pause = controls.paused(db, schedule.name)
                row = db.execute(
                    "SELECT skipped FROM slots WHERE schedule = ? ORDER BY due_at DESC LIMIT 1", (schedule.name,)
                ).fetchone()
                views.append(
                    ScheduleView(
                        schedule=schedule,
                        paused=pause.reason if pause else None,
                        last_skipped=row[0] if row else None,
                    )
                )
            return tuple(views)

    def spend_days(self, *, days: int) -> tuple[tuple[str, MicroUsd, MicroUsd], ...]:
        """Day, settled and held of the newest days with any spend, newest first."""
        with self._reading() as db:
            rows = db.execute("SELECT day, settled, held FROM spend ORDER BY day DESC LIMIT ?", (days,))
            return tuple((row[0], MicroUsd(row[1]), MicroUsd(row[2])) for row in rows)


def _columns(*, cut: bool) -> str:
    if not cut:
        return jobs.COLUMNS
    long = {"payload", "result", "error", "waiting_on"}
    return ", ".join(f"substr({name}, 1, {CUT})" if name in long else name for name in jobs.COLUMNS.split(", "))


def lock_is_held(lock: Path) -> bool:
    """Whether some runner holds the home. Looks by taking a shared lock for an instant."""
    try:
        fd = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(fd)
    return False


def _runner(db: sqlite3.Connection, home: Home, *, now: UnixMs) -> RunnerView:
    row = runners.latest(db)
    held = lock_is_held(home.lock)
    if row is None:
        return RunnerView(health=Health.SILENT if held else Health.NEVER)
    age = max(0, now - row.heartbeat_at)
    if row.ended is not None and not held:
        health = Health.STOPPED if row.ended != "lost" else Health.DEAD
    elif row.state is RunState.STANDBY:
        health = Health.LIVE if age <= LATE_MS else Health.DEAD
    elif not held:
        health = Health.DEAD
    elif age > SILENT_MS or row.ended is not None:
        health = Health.SILENT
    else:
        health = Health.LATE if age > LATE_MS else Health.LIVE
    return RunnerView(health=health, row=row, heartbeat_age_ms=age)


def _oldest(db: sqlite3.Connection, *, now: UnixMs) -> int | None:
    first = jobs.next_due(db, after=UnixMs(-1))
    return now - first if first is not None and first <= now else None


def _spend(db: sqlite3.Connection, settings: dict[str, str], *, now: UnixMs) -> SpendView:
    zone = ZoneInfo(settings.get("timezone", "UTC"))
    day = day_of(now, zone)
    spent = charges.spent_since_day(db, day)
    last_hour = charges.committed_since(db, UnixMs(now - HOUR_MS))
    cap = MicroUsd(int(settings["daily_usd"])) if settings.get("daily_usd", "").isdigit() else None
    resets_at = midnight_after(now, zone)
    reached_at = None
    if cap is not None and last_hour > 0:
        at = now + max(0, cap - spent.committed) * HOUR_MS // last_hour
        reached_at = UnixMs(at) if at < resets_at else None
    return SpendView(
        day=day,
        zone=zone.key,
        cap=cap,
        settled=spent.settled,
        held=spent.held,
        last_hour=last_hour,
        resets_at=resets_at,
        reached_at=reached_at,
    )


def _stop(db: sqlite3.Connection, home: Home, settings: dict[str, str], runner: RunnerView) -> StopView:
    row = controls.stop_row(db)
    by_env = settings.get("stop_env") == "1" and runner.health in (Health.LIVE, Health.LATE, Health.SILENT)
    sources = (
        *(("file",) if home.stop_set() else ()),
        *(("row",) if row.is_set else ()),
        *(("env",) if by_env else ()),
    )
    if not row.is_set:
        reason = "a STOP file" if "file" in sources else "AFK_STOP in the runner's environment" if sources else None
        return StopView(sources=sources, reason=reason, seq=row.seq)
    return StopView(
        sources=sources,
        now=row.value == controls.STOP_NOW,
        reason=row.reason,
        by=row.by,
        at=row.at,
        seq=row.seq,
    )


def _why(db: sqlite3.Connection, job: Job, runner: RunnerView, stop: StopView, *, now: UnixMs) -> str:
    if job.status is JobStatus.RUNNING:
        return f"{job.key} is running now."
    if job.status is not JobStatus.PENDING:
        ended = f"{job.key} is {job.status} since {iso(job.finished_at)}"
        if job.status is JobStatus.DEAD:
            return f"{ended}: {_first_line(job.error)}; `afk-runner replay {job.key}` gives it a new life."
        return f"{ended}{': ' + _first_line(job.error) if job.error else ''}."
    holds = []
    if stop.set:
        by = f" by {stop.by}" if stop.by else ""
        holds.append(f"everything is stopped ({', '.join(stop.sources)}{by}: {stop.reason}) until `afk-runner resume`")
    if runner.health not in (Health.LIVE, Health.LATE):
        holds.append(f"no runner works on this home (it is {runner.health}); start one with `afk-runner run`")
    pause = controls.paused(db, job.task)
    if pause:
        holds.append(f"task {job.task} is paused by {pause.by} ({pause.reason}) until `afk-runner unpause {job.task}`")
    if job.not_before > now and job.waiting_gate != "pause":
        fact = f"{job.waiting_on}, " if job.waiting_on else "it was asked for a later time, "
        holds.append(f"{fact}until {iso(job.not_before)}")
    if not holds:
        ahead = db.execute(
            "SELECT count(*) FROM (SELECT 1 FROM jobs WHERE status = 'pending' AND not_before <= ? AND "
            "(priority, -not_before, -id) > (?, ?, ?) LIMIT 1000)",
            (now, job.priority, -job.not_before, -job.id),
        ).fetchone()[0]
        holds.append(f"it is due and {ahead if ahead < 1000 else 'over 1000'} jobs are ahead of it")
    return f"{job.key} waits: {'; '.join(holds)}."


def _first_line(text: str | None) -> str:
    return (text or "no error was kept").strip().split("\n", 1)[0][:300]


def status_json(vitals: Vitals, schedule_views: tuple[ScheduleView, ...]) -> dict[str, Any]:
    """The stable answer of `status --json`."""
    runner, spend, stop = vitals.runner, vitals.spend, vitals.stop
    row = runner.row
    counts = vitals.counts
    return {
        "runner": {
            "state": _state_word(runner),
            "reason": row.reason if row else None,
            "pid": row.pid if row else None,
            "host": row.host if row else None,
            "heartbeat_age_s": runner.heartbeat_age_ms / 1000 if runner.heartbeat_age_ms is not None else None,
            "version": row.version if row else None,
        },
        "queue": {
            "pending": counts.pending,
            "running": counts.running,
            "done": counts.done,
            "halted": counts.halted,
            "cancelled": counts.cancelled,
            "dead": counts.dead,
            "oldest_pending_s": counts.oldest_pending_ms / 1000 if counts.oldest_pending_ms is not None else None,
        },
        "spend": {
            "day": spend.day,
            "timezone": spend.zone,
            "cap_microusd": spend.cap,
            "settled_microusd": spend.settled,
            "held_microusd": spend.held,
            "free_microusd": spend.free,
            "reached_at": iso(spend.reached_at),
        },
        "breakers": [
            {
                "name": breaker.name,
                "state": breaker.state.value,
                "failures": breaker.failures,
                "retry_at": iso(breaker.retry_at),
                "reason": breaker.reason,
            }
            for breaker in vitals.breakers
        ],
        "stop": {
            "set": stop.set,
            "sources": list(stop.sources),
            "reason": stop.reason,
            "by": stop.by,
            "at": iso(stop.at),
        },
        "schedules": [
            {
                "name": view.schedule.name,
                "next_at": iso(view.schedule.next_at),
                "last_slot": iso(view.schedule.last_slot),
                "paused": view.paused is not None,
            }
            for view in schedule_views
        ],
        "drafts": {"waiting": 0},
        "alerts": {"undelivered": 0, "open": 0},
    }


def _state_word(runner: RunnerView) -> str:
    """The state it told, unless what is observed says otherwise."""
    if runner.health in (Health.LIVE, Health.LATE) and runner.row:
        return runner.row.state.value
    return runner.health.value if runner.health is not Health.NEVER else RunState.STOPPED.value


def clock_ms() -> UnixMs:
    """Wall time, for callers that pass none of their own."""
    return UnixMs(time.time_ns() // 1_000_000)
