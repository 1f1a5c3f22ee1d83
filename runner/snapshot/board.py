"""What the board shows: the vitals, the breakers, the schedules."""

from __future__ import annotations

import sqlite3

from runner import spending
from runner.snapshot.opened import Opened
from runner.snapshot.state import runner_view, stop_view
from runner.store import addresses, alerts, breakers, controls, drafts, jobs, rate_pauses, schedules, tallies
from runner.units import MINUTE_MS, UnixMs
from runner.views import MOST_WAITING, Alerts, BrakeView, Counts, Lately, ScheduleView, Vitals, Waiting


class BoardReads(Opened):
    """How the runner and its brakes stand."""

    def vitals(self, *, now: UnixMs) -> Vitals:
        """The board."""
        with self.reading() as db:
            seq, *numbers = db.execute(
                "SELECT change_seq, pending, running, done, halted, cancelled, dead FROM board"
            ).fetchone()
            done_at, done_key, called_at, called_model = db.execute(
                "SELECT done_at, done_key, called_at, called_model FROM board"
            ).fetchone()
            settings = controls.settings(db)
            runner = runner_view(db, self.home, now=now)
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
                stop=stop_view(db, self.home, settings, runner),
                waiting=waiting,
                alerts=_alerts(db, now=now),
                lately=Lately(
                    done_at=done_at,
                    done_key=done_key,
                    called_at=called_at,
                    called_model=called_model,
                    ping=controls.ping(db),
                ),
                drafts_waiting=drafts.waiting(db, limit=MOST_WAITING),
                workers=int(settings["workers"]) if settings.get("workers", "").isdigit() else None,
            )

    def caught_up(self, *, now: UnixMs, within_ms: int, late_ms: int) -> tuple[str, ...]:
        """Schedules whose newest slot became a job so much later than it was due, lately; by name."""
        sql = (
            "SELECT name FROM schedules WHERE EXISTS (SELECT 1 FROM slots WHERE schedule = name "
            "AND job_key IS NOT NULL AND at - due_at > ? AND at > ? "
            "AND due_at = (SELECT max(due_at) FROM slots WHERE schedule = name AND due_at <= ?)) ORDER BY name"
        )
        with self.reading() as db:
            return tuple(name for (name,) in db.execute(sql, (late_ms, now - within_ms, now)))

    def brakes(self, *, now: UnixMs, quiet: bool = False) -> tuple[BrakeView, ...]:
        """Every breaker that ever saw a failure and every rate that is paused, by name.

        `quiet`: those of models that never failed as well, and of their upstreams as a whole.
        """
        with self.reading() as db:
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

    def schedules(self, *, now: UnixMs) -> tuple[ScheduleView, ...]:
        """Every schedule by name."""
        with self.reading() as db:
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
                        overdue_ms=schedule.overdue_ms(now),
                    )
                )
            return tuple(views)


def _called(db: sqlite3.Connection) -> set[str]:
    """Every upstream and model that calls were counted for, and `UPSTREAM/*` for each."""
    names = tallies.names(db)
    return {*names, *(f"{name.partition('/')[0]}/*" for name in names)}


def _alerts(db: sqlite3.Connection, *, now: UnixMs) -> Alerts:
    undelivered, still_open = alerts.counts(db)
    return Alerts(
        undelivered=undelivered,
        open=still_open,
        untold_since=alerts.untold_since(db),
        failing=tuple(addresses.failing(db, now=now)),
    )


def _oldest(db: sqlite3.Connection, *, now: UnixMs) -> int | None:
    first = jobs.next_due(db, after=UnixMs(-1))
    return now - first if first is not None and first <= now else None
