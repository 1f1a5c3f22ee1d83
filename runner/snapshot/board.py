"""What the board shows: the vitals, the breakers, the schedules."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from runner import spending
from runner.snapshot.opened import Opened
from runner.snapshot.state import runner_view, stop_view
from runner.store import addresses, alerts, breakers, controls, drafts, jobs, rate_pauses, schedules, tallies
from runner.units import MINUTE_MS, UnixMs
from runner.views import MOST_WAITING, Alerts, BrakeView, Counts, Lately, ScheduleView, Vitals, Waiting

# Most lists of the board are empty most of the time: one look tells which of them are worth one of their own, and when
# the head of the queue was due, which is the oldest of all where every job has the same priority.
GLANCE = """
SELECT change_seq, pending, running, done, halted, cancelled, dead, done_at, done_key, called_at, called_model,
       (SELECT not_before FROM jobs WHERE status = 'pending' ORDER BY priority DESC, not_before, id LIMIT 1),
       (SELECT max(priority) FROM jobs WHERE status = 'pending')
           IS (SELECT min(priority) FROM jobs WHERE status = 'pending'),
       EXISTS (SELECT 1 FROM jobs INDEXED BY jobs_waiting WHERE status = 'pending' AND waiting_gate IS NOT NULL),
       EXISTS (SELECT 1 FROM breakers), EXISTS (SELECT 1 FROM rate_pauses), EXISTS (SELECT 1 FROM pauses),
       EXISTS (SELECT 1 FROM alerts WHERE owed = 1) OR EXISTS (SELECT 1 FROM alerts WHERE closed_at IS NULL),
       EXISTS (SELECT 1 FROM addresses), EXISTS (SELECT 1 FROM drafts WHERE state = 'waiting')
  FROM board
"""
NO_ALERTS = Alerts()


class BoardReads(Opened):
    """How the runner and its brakes stand."""

    def vitals(self, *, now: UnixMs) -> Vitals:
        """The board."""
        with self.reading() as db:
            row = db.execute(GLANCE).fetchone()
            seq, pending, running, done, halted, cancelled, dead, done_at, done_key, called_at, called_model = row[:11]
            due, one_priority, any_waiting, any_breaker, any_rate, any_pause, any_alert, any_address, any_draft = row[
                11:
            ]
            if not one_priority:
                due = jobs.next_due(db, after=UnixMs(-1))
            switches = controls.everything(db)
            settings = switches.settings
            runner = runner_view(db, self.home, now=now)
            waiting = tuple(_waiting(db, now=now)) if any_waiting else ()
            return Vitals(
                read_at=now,
                change_seq=seq,
                runner=runner,
                counts=Counts(
                    pending=pending,
                    running=running,
                    done=done,
                    halted=halted,
                    cancelled=cancelled,
                    dead=dead,
                    oldest_pending_ms=now - due if due is not None and due <= now else None,
                ),
                spend=spending.today(db, settings, waiting, now=now),
                breakers=tuple(breakers.all_of(db)) if any_breaker else (),
                pauses=tuple(rate_pauses.all_of(db, now=now)) if any_rate else (),
                paused=tuple(controls.all_paused(db)) if any_pause else (),
                stop=stop_view(self.home, switches, runner),
                waiting=waiting,
                alerts=_alerts(db, now=now) if any_alert or any_address else NO_ALERTS,
                lately=Lately(
                    done_at=done_at,
                    done_key=done_key,
                    called_at=called_at,
                    called_model=called_model,
                    ping=switches.ping,
                ),
                drafts_waiting=drafts.waiting(db, limit=MOST_WAITING) if any_draft else 0,
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
                        late_key=_late_key(db, schedule.name, now=now),
                    )
                )
            return tuple(views)


def _late_key(db: sqlite3.Connection, name: str, *, now: UnixMs) -> str | None:
    """See `ScheduleView.late_key`."""
    row = db.execute(
        "SELECT job_key FROM slots INDEXED BY slots_open JOIN jobs ON key = job_key WHERE schedule = ? AND open = 1 "
        "AND status = 'pending' AND due_at <= ? ORDER BY due_at LIMIT 1",
        (name, now - MINUTE_MS),
    ).fetchone()
    return row[0] if row else None


def _called(db: sqlite3.Connection) -> set[str]:
    """Every upstream and model that calls were counted for, and `UPSTREAM/*` for each."""
    names = tallies.names(db)
    return {*names, *(f"{name.partition('/')[0]}/*" for name in names)}


def _alerts(db: sqlite3.Connection, *, now: UnixMs) -> Alerts:
    undelivered, still_open = alerts.counts(db)
    known = addresses.all_of(db)
    return Alerts(
        undelivered=undelivered,
        open=still_open,
        untold_since=alerts.untold_since(db),
        failing=tuple(addresses.failing(db, now=now)),
        last_error=next((one.last_error for one in known if one.last_error is not None), None),
        addressed=bool(known),
    )


def _waiting(db: sqlite3.Connection, *, now: UnixMs) -> Iterator[Waiting]:
    for gate, count, until in jobs.waiting_by_gate(db, now=now, limit=MOST_WAITING):
        yield Waiting(gate=gate, jobs=count, until=until)
