"""THE READ DOOR: everything a screen or a listing may know, as frozen values.

A `Reader` holds one read-only connection. Each call is one short read transaction; nothing here writes or waits.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

from runner import letters, listing, pace, spending
from runner.errors import NotFound, StoreMissing, StoreNewer
from runner.filter import EVERYTHING, EXAMPLES, BadFilter, Field, Filter, Term, parse
from runner.filter import WORDS as FIELD_WORDS
from runner.heartbeat import last_beat
from runner.home import Home
from runner.letters import DeadGroup, DeadPage, ReplayPlan
from runner.listing import Found
from runner.lock import lock_is_held
from runner.pace import HourSpend, Pace, PartSpend, Slice
from runner.price_age import ListDate, list_date
from runner.printed import Printed, printed
from runner.spending import CapView, HeldCall, Holds
from runner.status import status_json
from runner.store import (
    alerts,
    attempts,
    breakers,
    controls,
    drafts,
    events,
    jobs,
    rate_pauses,
    runners,
    schedules,
    steps,
    tallies,
)
from runner.store.attempts import Attempt
from runner.store.breakers import Breaker, BreakerState
from runner.store.db import open_reader, schema_version, translate
from runner.store.drafts import Draft, DraftState
from runner.store.events import Event
from runner.store.jobs import Job, JobStatus
from runner.store.raises import Raise
from runner.store.rate_pauses import RatePause
from runner.store.runners import Runner, RunState
from runner.store.schedules import Schedule
from runner.units import MINUTE_MS, MicroUsd, UnixMs
from runner.views import (
    LATE_MS,
    MOST_WAITING,
    SILENT_MS,
    Alerts,
    BrakeView,
    Counts,
    Health,
    JobDetail,
    RunnerView,
    ScheduleView,
    SpendView,
    StopView,
    Vitals,
    Waiting,
    columns,
)
from runner.why import why
from runner.work.conversation import Verdict, told, verdicts

__all__ = [
    "EVERYTHING",
    "EXAMPLES",
    "FIELD_WORDS",
    "Alerts",
    "Attempt",
    "BadFilter",
    "BrakeView",
    "Breaker",
    "BreakerState",
    "CapView",
    "Counts",
    "DeadGroup",
    "DeadPage",
    "Draft",
    "DraftState",
    "Event",
    "Field",
    "Filter",
    "Found",
    "Health",
    "HeldCall",
    "Holds",
    "HourSpend",
    "Job",
    "JobDetail",
    "JobStatus",
    "ListDate",
    "Pace",
    "PartSpend",
    "Printed",
    "Raise",
    "RatePause",
    "Reader",
    "ReplayPlan",
    "RunState",
    "Runner",
    "RunnerView",
    "Schedule",
    "ScheduleView",
    "Slice",
    "SpendView",
    "StopView",
    "Term",
    "Verdict",
    "Vitals",
    "Waiting",
    "parse",
    "status_json",
    "told",
]


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
            waiting = tuple(
                Waiting(gate=gate, jobs=count, until=until)
                for gate, count, until in jobs.waiting_by_gate(db, now=now, limit=MOST_WAITING)
            )
            return Vitals(
                read_at=now,
                change_seq=seq,
                runner=runner,
                counts=Counts(
                    **dict(zip(("pending", "running", "done", "halted", "cancelled", "dead"), numbers, strict=True)),
                    oldest_pending_ms=_oldest(db, now=now),
                ),
                spend=spending.today(db, settings, waiting, now=now),
                breakers=tuple(breakers.all_of(db)),
                pauses=tuple(rate_pauses.all_of(db, now=now)),
                paused=tuple(controls.all_paused(db)),
                stop=_stop(db, self.home, settings, runner),
                waiting=waiting,
                alerts=Alerts(*alerts.counts(db)),
                drafts_waiting=drafts.waiting(db, limit=MOST_WAITING),
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
        sql = f"SELECT {columns(cut=cut)} FROM jobs WHERE {where} ORDER BY id {order} LIMIT ?"  # noqa: S608
        with self._reading() as db:
            found = [jobs.job_of(row) for row in db.execute(sql, (*values, limit))]
        return tuple(found if after is None else reversed(found))

    def find(
        self,
        wanted: Filter,
        *,
        now: UnixMs,
        beyond: int | None = None,
        oldest_first: bool = False,
        limit: int,
        most: int,
    ) -> Found:
        """Ids of jobs a filter means, beyond an id, after a look at about `most` rows at the most."""
        with self._reading() as db:
            return listing.find(db, wanted, now=now, beyond=beyond, oldest_first=oldest_first, limit=limit, most=most)

    def listed(
        self,
        ids: Sequence[int],
        wanted: Filter = EVERYTHING,
        *,
        now: UnixMs,
        dearest: int | None = None,
        cut: bool = True,
    ) -> tuple[Job, ...]:
        """Those of these jobs that are there and meant by the filter, in the order of `ids`. `cut` as in `jobs`.

        `dearest`: only so many, those that cost most, the dearest first.
        """
        with self._reading() as db:
            return listing.listed(db, ids, wanted, now=now, dearest=dearest, cut=cut)

    def total(self, wanted: Filter) -> int | None:
        """How many jobs a filter means, where counters know it."""
        with self._reading() as db:
            return listing.exact_total(db, wanted)

    def tasks(self, *, limit: int = 200) -> tuple[str, ...]:
        """Names of tasks that have jobs, by name."""
        with self._reading() as db:
            return tuple(listing.tasks(db, limit=limit))

    def running(self, *, limit: int = 200, cut: bool = False) -> tuple[tuple[Job, Attempt], ...]:
        """Running jobs, oldest first, each with the attempt in progress. `cut` as in `jobs`."""
        sql = f"SELECT {columns(cut=cut)} FROM jobs WHERE status = 'running' ORDER BY id LIMIT ?"  # noqa: S608
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
        with self._reading() as db:
            return tuple(jobs.job_of(row) for row in db.execute(letters.NEWEST.format(columns(cut=cut)), (limit,)))

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

    def dead_page(
        self, *, unfolded: bool | None = None, turned: frozenset[str] = frozenset(), reach: dict[str, int] | None = None
    ) -> DeadPage:
        """Dead letters by error; see `letters.page`."""
        with self._reading() as db:
            return letters.page(db, unfolded=unfolded, turned=turned, reach=reach)

    def replay_plan(self, ids: Sequence[int]) -> ReplayPlan:
        """What there is to know of these dead jobs before they are replayed or removed; the others are left out."""
        with self._reading() as db:
            return letters.plan_of(db, ids)

    def replay_plan_of(self, fingerprint: str, *, died: UnixMs, id: int) -> ReplayPlan:
        """The same of an error, up to the letter that was its newest when it was shown."""
        with self._reading() as db:
            return letters.plan_of_group(db, fingerprint, died=died, id=id)

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
                steps=(recorded := steps.of_job(db, job.id)),
                verdicts=verdicts(recorded),
                drafts=tuple(drafts.of_job(db, job.id)),
                why=why(db, job, runner, _stop(db, self.home, settings, runner), now=now),
            )

    def printed(self, job_id: int, n: int) -> Printed | None:
        """The end of what the job's n-th start printed so far; None: nothing, or it is no longer kept."""
        return printed(self.home.attempt_file(job_id, n), n)

    def events(
        self,
        *,
        after: int | None = None,
        before: int | None = None,
        limit: int = 200,
        levels: tuple[str, ...] = (),
        job: str | None = None,
        text: str | None = None,
    ) -> tuple[Event, ...]:
        """The oldest events after an id, or else the newest, of those before an id when one is given; oldest first.

        `text`: only those with it in what is shown of them.
        """
        chosen = levels or (events.INFO, events.WARN, events.ERROR)
        with self._reading() as db:
            if after is not None:
                return tuple(events.after(db, after, limit=limit, levels=chosen, job=job, text=text))
            return tuple(events.newest(db, limit=limit, levels=chosen, job=job, before=before, text=text))

    def drafts(self, *, state: DraftState | None = None, limit: int = 200) -> tuple[Draft, ...]:
        """Actions written down for a person, those that wait first and the newest first."""
        with self._reading() as db:
            return tuple(drafts.newest(db, limit=limit, state=state))

    def draft(self, id: int) -> Draft:
        """One draft. Raises NotFound."""
        with self._reading() as db:
            found = drafts.get(db, id)
        if found is None:
            raise NotFound(f"there is no draft {id}; `afk-runner drafts --all` lists them")
        return found

    def schedules(self, *, now: UnixMs) -> tuple[ScheduleView, ...]:
        """Every schedule by name."""
        with self._reading() as db:
            views = []
            for schedule in schedules.all_of(db, now=now):
                pause = controls.paused(db, schedule.name)
                row = db.execute(
                    "SELECT skipped FROM slots WHERE schedule = ? AND due_at = ?", (schedule.name, schedule.last_slot)
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

    def brakes(self, *, now: UnixMs, quiet: bool = False) -> tuple[BrakeView, ...]:
        """Every breaker that ever saw a failure and every rate that is paused, by name.

        `quiet`: those of models that never failed as well, and of their upstreams as a whole.
        """
        with self._reading() as db:
            window = controls.settings(db).get("rate_window_ms", "")
            window_ms = int(window) if window.isdigit() else MINUTE_MS
            known = {one.name: one for one in breakers.all_of(db)}
            pauses = {one.name: one for one in rate_pauses.all_of(db, now=now)}
            views = []
            for name in sorted({*known, *pauses, *(_called(db) if quiet else ())}):
                tally = tallies.of(db, name, window_ms=window_ms, now=now)
                views.append(
                    BrakeView(
                        breaker=known.get(name)
                        or breakers.untouched(name, at=pauses[name].at if name in pauses else now),
                        calls=tally.calls,
                        failed=tally.failures,
                        window_ms=window_ms,
                        pause=pauses.get(name),
                    )
                )
            return tuple(views)

    def caps(self, *, now: UnixMs) -> tuple[CapView, ...]:
        """Every cap in force and what counts against it; empty before the first run."""
        with self._reading() as db:
            return spending.caps(db, controls.settings(db), now=now)

    def holds(self, *, limit: int) -> tuple[HeldCall, ...]:
        """The newest calls that are not settled, newest first."""
        with self._reading() as db:
            return spending.holds(db, limit=limit, runner_lives=lock_is_held(self.home.lock))

    def held(self) -> Holds:
        """All calls that are not settled, in numbers."""
        with self._reading() as db:
            return spending.held(db, runner_lives=lock_is_held(self.home.lock))

    def pace(self, *, now: UnixMs, known: Iterable[Slice] = ()) -> Pace:
        """What was spent in the last 24 hours, and today by model; `known` is what the look before gave."""
        with self._reading() as db:
            return pace.pace(db, _zone(db), known, now=now)

    def spend_by_task(self, *, now: UnixMs, limit: int) -> tuple[PartSpend, ...]:
        """What the tasks have cost today, the dearest first."""
        with self._reading() as db:
            return pace.by_task(db, _zone(db), limit=limit, now=now)

    @staticmethod
    def prices() -> ListDate:
        """Which price list is installed here."""
        return _prices()


_prices = cache(list_date)


def _zone(db: sqlite3.Connection) -> ZoneInfo:
    return ZoneInfo(controls.settings(db).get("timezone", "UTC"))


def _called(db: sqlite3.Connection) -> set[str]:
    """Every upstream and model that calls were counted for, and `UPSTREAM/*` for each."""
    names = tallies.names(db)
    return {*names, *(f"{name.partition('/')[0]}/*" for name in names)}


def _runner(db: sqlite3.Connection, home: Home, *, now: UnixMs) -> RunnerView:
    row = runners.latest(db)
    held = lock_is_held(home.lock)
    if row is None:
        return RunnerView(health=Health.SILENT if held else Health.NEVER)
    age = max(0, now - row.heartbeat_at)
    if held and age > LATE_MS and row.ended is None and (beat := last_beat(home.heartbeat)) and beat.pid == row.pid:
        beat_age = max(0, now - beat.at)
        if beat.fault is not None and beat_age <= LATE_MS:  # it lives, and says outside what it cannot write down
            row = replace(row, state=RunState.PARKED, reason=beat.fault, heartbeat_at=beat.at)
            return RunnerView(health=Health.LIVE, row=row, heartbeat_age_ms=beat_age)
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
