"""Reading a report: counters and indexes alone, so that it costs what its days hold and not what the home does."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from zoneinfo import ZoneInfo

from runner import spending
from runner.config import ReportConfig, TaskConfig
from runner.report.values import (
    STATUSES,
    DayRow,
    DeadRow,
    OpenAlert,
    OutcomeRow,
    Report,
    SkipRow,
    TaskRow,
    Waits,
)
from runner.store import alerts, controls, drafts, drills, incidents, jobs, outcomes
from runner.store.events import Event
from runner.store.outcomes import Ended, Happened
from runner.units import MicroUsd, UnixMs, day_of, start_of_day
from runner.views import MOST_WAITING, RunnerView, StopView, Waiting, beginning

MOST_DAYS = 366
MOST_ROWS = 20
"""Of each kind of thing that waits or was skipped; the rest is a number."""
STORY = (
    *("stop.set", "stop.cleared", "breaker.open", "breaker.closed", "cap.level", "cap.raised", "cap.lowered"),
    *("call.runaway", "call.over_bound", "runner.start", "runner.forced", "clock.jump", "task.pause", "task.unpause"),
)
"""Events that tell what happened to the home, not to a job."""

_VARIES = re.compile(r"(?<=@)\S*\d[^\s,;]*|\b\d[\w.:-]*")
"""Of a reason: the slot in a job's key, and whatever else is counted or timed."""

FIRST = """
SELECT (SELECT min(quarter) FROM (SELECT min(quarter) AS quarter FROM ended UNION ALL
                                  SELECT min(quarter) FROM happenings)),
       (SELECT min(day) FROM spend_totals)
"""
SPENT = """
SELECT day, task, settled, held FROM spend_totals WHERE day >= ? AND day <= ? ORDER BY day, task
"""
RAISED = "SELECT day, cap FROM raises WHERE day >= ? AND day <= ? ORDER BY id"
SCHEDULES = """
WITH RECURSIVE found (name) AS (
    SELECT min(schedule) FROM slots
    UNION ALL
    SELECT (SELECT min(schedule) FROM slots WHERE schedule > found.name) FROM found WHERE found.name IS NOT NULL
)
SELECT name FROM found WHERE name IS NOT NULL
"""
SKIPPED = """
SELECT skipped, count(*), min(due_at), max(due_at) FROM slots
 WHERE schedule = ? AND due_at >= ? AND due_at <= ? AND skipped IS NOT NULL
 GROUP BY skipped ORDER BY count(*) DESC, skipped
"""
OF_STORY = """
SELECT id, at, level, event, task, job, attempt, text FROM events INDEXED BY events_story
 WHERE substr(event, 1, 4) <> 'job.' AND event = ? AND at >= ? AND at <= ? ORDER BY at DESC LIMIT ?
"""
ERRORS = f"""
SELECT (SELECT {beginning("error")} FROM jobs INDEXED BY jobs_dead_error
         WHERE status = 'dead' AND fingerprint IS nullif(found.fingerprint, '')
         ORDER BY finished_at DESC, id DESC LIMIT 1), found.jobs, last_at
  FROM dead_groups AS found ORDER BY last_at DESC, found.fingerprint DESC LIMIT ?
"""  # noqa: S608 - our own words


def told(report: ReportConfig, tasks: Mapping[str, TaskConfig]) -> dict[str, str]:
    """What a report needs of the configuration, as a runner writes it down for whoever looks from outside."""
    hours = {task.name: str(task.hours_saved) for task in tasks.values() if task.hours_saved is not None}
    rate = {} if report.hourly_rate is None else {"report_rate": str(report.hourly_rate)}
    return {**rate, "hours_saved": json.dumps(hours, sort_keys=True)}


def gather(
    db: sqlite3.Connection, *, days: int, now: UnixMs, runner: RunnerView, stop: StopView, runner_lives: bool
) -> Report:
    """The report of the last so many calendar days, today among them, as of now."""
    settings = controls.settings(db)
    zone = ZoneInfo(settings.get("timezone", "UTC"))
    today = date.fromisoformat(day_of(now, zone))
    dates = [today - timedelta(days=number) for number in range(min(max(days, 1), MOST_DAYS))]
    since = start_of_day(dates[-1], zone)
    ended = outcomes.ended(db, since=since, until=now)
    happened = outcomes.happened(db, since=since, until=now)
    spent = db.execute(SPENT, (dates[-1].isoformat(), today.isoformat())).fetchall()
    story = _story(db, since=since, now=now)
    pending, running = db.execute("SELECT pending, running FROM board").fetchone()
    return Report(
        at=now,
        since=since,
        zone=zone.key,
        runner=runner,
        stop=stop,
        pending=pending,
        running=running,
        gates=tuple(
            Waiting(gate=gate, jobs=count, until=until)
            for gate, count, until in jobs.waiting_by_gate(db, now=now, limit=MOST_WAITING)
        ),
        days=_days(db, dates, spent, settings, zone, now=now),
        outcomes=_outcomes(ended),
        tasks=_tasks(ended, happened, spent, settings),
        skipped=_skipped(db, since=since, now=now),
        happened=tuple(_by_word(happened).items()),
        story=story[:MOST_ROWS],
        story_cut=len(story) > MOST_ROWS,
        waits=_waits(db, runner_lives=runner_lives),
        closed=tuple(incidents.closed_of(db, since=since, until=UnixMs(now + 1), limit=MOST_ROWS)),
        drills=tuple(drills.all_of(db)),
        known_from=min(_first_day(db, zone) or today, today).isoformat(),
        reckons=_rate(settings) is not None and bool(_hours(settings)),
    )


def _first_day(db: sqlite3.Connection, zone: ZoneInfo) -> date | None:
    """The first day of which anything is kept; None: of none."""
    quarters, paid = db.execute(FIRST).fetchone()
    days = [date.fromisoformat(paid)] if paid is not None else []
    if quarters is not None:
        days.append(date.fromisoformat(day_of(UnixMs(quarters * outcomes.QUARTER_MS), zone)))
    return min(days, default=None)


def _days(
    db: sqlite3.Connection,
    dates: Sequence[date],
    spent: Sequence[tuple[str, str, int, int]],
    settings: dict[str, str],
    zone: ZoneInfo,
    *,
    now: UnixMs,
) -> tuple[DayRow, ...]:
    money: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for day, _, settled, held in spent:
        money[day][0] += settled
        money[day][1] += held
    configured = settings.get("daily_usd", "")
    cap = MicroUsd(int(configured)) if configured.isdigit() else None
    raised = dict(db.execute(RAISED, (dates[-1].isoformat(), dates[0].isoformat())).fetchall())  # the last of each day
    rows = []
    for one in dates:
        day = one.isoformat()
        until = min(start_of_day(one + timedelta(days=1), zone), now + 1)
        counts = Counter[str]()
        for row in outcomes.ended(db, since=start_of_day(one, zone), until=UnixMs(until)):
            counts[row.status] += row.jobs
        higher = cap is not None and raised.get(day, 0) > cap
        rows.append(
            DayRow(
                day=day,
                settled=MicroUsd(money[day][0]),
                held=MicroUsd(money[day][1]),
                cap=MicroUsd(raised[day]) if higher else cap,
                raised=higher,
                done=counts["done"],
                failed=counts["halted"] + counts["dead"],
            )
        )
    return tuple(rows)


def _outcomes(ended: Sequence[Ended]) -> tuple[OutcomeRow, ...]:
    return tuple(
        OutcomeRow(
            status=status,
            jobs=sum(row.jobs for row in ended if row.status == status),
            cost=MicroUsd(sum(row.cost for row in ended if row.status == status)),
        )
        for status in STATUSES
    )


def _tasks(
    ended: Sequence[Ended],
    happened: Sequence[Happened],
    spent: Sequence[tuple[str, str, int, int]],
    settings: dict[str, str],
) -> tuple[TaskRow, ...]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in ended:
        counts[row.task][row.status] += row.jobs
    for each in happened:
        if each.event == "job.retry":
            counts[each.task]["retries"] += each.number
    cost = Counter[str]()
    for _, task, settled, held in spent:
        cost[task] += settled + held
    hours, rate = _hours(settings), _rate(settings)
    rows = [
        TaskRow(task=task, **counts[task], cost=MicroUsd(cost[task]), hours_saved=hours.get(task), rate=rate)
        for task in {*counts, *(task for task, amount in cost.items() if amount)}
    ]
    return tuple(sorted(rows, key=lambda row: (-row.cost, -row.done, row.task)))


def _rate(settings: dict[str, str]) -> MicroUsd | None:
    told_rate = settings.get("report_rate", "")
    return MicroUsd(int(told_rate)) if told_rate.isdecimal() else None


def _hours(settings: dict[str, str]) -> dict[str, Decimal]:
    """What the tasks say they save; what a hand has written into the table otherwise says nothing."""
    try:
        read = {str(task): Decimal(str(one)) for task, one in json.loads(settings.get("hours_saved", "{}")).items()}
    except (ValueError, AttributeError, InvalidOperation):
        return {}
    return {task: hours for task, hours in read.items() if hours.is_finite()}


def _skipped(db: sqlite3.Connection, *, since: UnixMs, now: UnixMs) -> tuple[SkipRow, ...]:
    rows = []
    for (name,) in db.execute(SCHEDULES).fetchall():
        alike: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
        for reason, *numbers in db.execute(SKIPPED, (name, since, now)):
            alike[_VARIES.sub("…", reason)].append(tuple(numbers))
        ordered = sorted(alike.items(), key=lambda item: (-sum(row[0] for row in item[1]), item[0]))
        rest = [row for _, found in ordered[MOST_ROWS:] for row in found]
        for reason, found in (*ordered[:MOST_ROWS], *([("other reasons", rest)] if rest else [])):
            rows.append(
                SkipRow(
                    schedule=name,
                    reason=reason,
                    slots=sum(row[0] for row in found),
                    first=UnixMs(min(row[1] for row in found)),
                    last=UnixMs(max(row[2] for row in found)),
                )
            )
    return tuple(rows)


def _by_word(happened: Sequence[Happened]) -> dict[str, int]:
    counts = Counter[str]()
    for row in happened:
        counts[row.event] += row.number
    return dict(sorted(counts.items()))


def _story(db: sqlite3.Connection, *, since: UnixMs, now: UnixMs) -> tuple[Event, ...]:
    names = ("id", "at", "level", "event", "task", "job", "attempt", "text")
    found = [
        Event(**dict(zip(names, row, strict=True)))
        for word in STORY
        for row in db.execute(OF_STORY, (word, since, now, MOST_ROWS + 1))
    ]
    return tuple(sorted(found, key=lambda event: (-event.at, -event.id)))


def _waits(db: sqlite3.Connection, *, runner_lives: bool) -> Waits:
    undelivered, still_open = alerts.counts(db)
    held = spending.held(db, runner_lives=runner_lives)
    oldest = db.execute("SELECT at FROM drafts WHERE state = 'waiting' ORDER BY id LIMIT 1").fetchone()
    holding = db.execute(
        "SELECT key, level, text, at FROM alerts WHERE closed_at IS NULL AND NOT EXISTS (SELECT 1 FROM incidents "
        "WHERE alert_key = alerts.key AND incidents.closed_at IS NULL) ORDER BY id DESC LIMIT ?",
        (MOST_ROWS,),
    )
    return Waits(
        drafts=drafts.waiting(db, limit=MOST_WAITING),
        oldest_draft=UnixMs(oldest[0]) if oldest else None,
        dead=int(db.execute("SELECT dead FROM board").fetchone()[0]),
        errors=tuple(
            DeadRow(error=(row[0] or "").split("\n", 1)[0], jobs=row[1], last_at=UnixMs(row[2]))
            for row in db.execute(ERRORS, (MOST_ROWS,))
        ),
        alerts=tuple(OpenAlert(key=row[0], level=row[1], text=row[2], at=UnixMs(row[3])) for row in holding),
        alerts_open=still_open,
        undelivered=undelivered,
        incidents=tuple(incidents.still_open(db, limit=MOST_ROWS)),
        incidents_open=incidents.number_open(db),
        holds=held.standing,
        held=held.standing_total,
    )
