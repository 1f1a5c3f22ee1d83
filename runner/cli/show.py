"""The verbs that look at the whole."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from runner.cli.rows import event_json
from runner.cli.shell import (
    AsJson,
    HomeDir,
    Limit,
    example,
    flush,
    reading,
    remark,
    say,
    say_json,
    say_json_line,
    say_table,
    stamp,
)
from runner.errors import StoreBusy
from runner.report.words import drills_line
from runner.snapshot import Event, Health, Reader, RunnerView, ScheduleView, StopView, Vitals, status_json
from runner.snapshot.why import lifts
from runner.units import SystemClock, duration, iso, plural, usd

FOLLOW_EVERY_S = 0.25
_PAGE = 500


class Level(StrEnum):
    """How much an event matters."""

    INFO = "info"
    WARN = "warn"
    ERROR = "error"


def register(app: typer.Typer) -> None:
    app.command(epilog=example("afk-runner status", "afk-runner status --json", "afk-runner status --check --quiet"))(
        status
    )
    app.command(epilog=example("afk-runner schedules"))(schedules)
    app.command(epilog=example("afk-runner logs -f --level warn"))(logs)


def status(
    home: HomeDir = None,
    check: Annotated[bool, typer.Option("--check", help="Say in one line whether all is well, for a monitor.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="With --check: say nothing when all is well.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say how things stand.

    Exit codes of --check: 0 all is well, 1 warning, 2 critical, 3 it cannot be told.
    """
    if check:
        from runner.cli.check import answer  # noqa: PLC0415 - brings what renders service files along

        answer(home, quiet=quiet, as_json=as_json)
    with reading(home) as reader:
        now = SystemClock().now()
        vitals = reader.vitals(now=now)
        views = reader.schedules(now=now)
        drills = reader.drills()
        incidents = reader.incidents_open()
    if as_json:
        say_json(status_json(vitals, views, incidents=incidents, drills=drills))
        return
    lines = _lines(vitals, views)
    if incidents:
        lines.append(("incidents", f"{incidents:,} open; `afk-runner incidents` lists them"))
    lines.append(("drills", drills_line(drills, now=now, zone=ZoneInfo(vitals.spend.zone))[0]))
    for name, text in lines:
        say(f"{name:<9} {text}")


def _lines(vitals: Vitals, views: tuple[ScheduleView, ...]) -> list[tuple[str, str]]:
    counts, spend = vitals.counts, vitals.spend
    oldest = (
        f" (the oldest due for {duration(counts.oldest_pending_ms)})" if counts.oldest_pending_ms is not None else ""
    )
    cap = f" of {usd(spend.cap)}" if spend.cap is not None else " (the cap is known from the first run on)"
    free = f", {usd(spend.free)} free" if spend.free is not None else ""
    reached = f", reached at {stamp(spend.reached_at)} at this pace" if spend.reached_at else ""
    if spend.reached:
        reached = f", CAP REACHED, lifts at {stamp(spend.resets_at)}"
    lines = [
        ("runner", _runner(vitals.runner)),
        *([("because", row.note)] if (row := vitals.runner.row) is not None and row.note and row.ended is None else ()),
        ("stop", _stop(vitals.stop)),
        (
            "queue",
            f"{counts.pending:,} pending{oldest}, {counts.running:,} running, {counts.done:,} done, "
            f"{counts.halted:,} halted, {counts.cancelled:,} cancelled, {counts.dead:,} dead",
        ),
        (
            "spend",
            f"{usd(spend.settled + spend.held)}{cap} on {spend.day} ({spend.zone}), "
            f"of it {usd(spend.held)} held{free}{reached}",
        ),
    ]
    lines += _lately(vitals)
    for held in vitals.waiting:
        kind, _, name = held.gate.partition(":")
        text = f"{plural(held.jobs, 'job')} for {held.gate}"
        if kind == "task":
            text += f": the runner was started without a task {name}; declare it, and restart the runner"
        else:
            text += f", looked at again from {stamp(held.until)} on"
        lines.append(("waiting", text))
    for pause in vitals.paused:
        lifts = f"`afk-runner unpause {pause.name}` lifts it"
        lines.append(("paused", f"{pause.name} since {stamp(pause.at)} by {pause.by}: {pause.reason}; {lifts}"))
    for breaker in vitals.breakers:
        if breaker.state.value != "closed":
            until = f"trial at {stamp(breaker.retry_at)}" if breaker.retry_at else "closed by hand alone"
            lines.append(("breaker", f"{breaker.name} {breaker.state.value}, {until}: {breaker.reason or 'no reason'}"))
    if vitals.drafts_waiting:
        lines.append(("drafts", f"{vitals.drafts_waiting} wait for a person; `afk-runner drafts` lists them"))
    if vitals.alerts.open or vitals.alerts.undelivered:
        told = f", {vitals.alerts.undelivered} not told to everybody" if vitals.alerts.undelivered else ""
        lines.append(("alerts", f"{plural(vitals.alerts.open, 'alert')} open{told}; `afk-runner alerts` lists them"))
    for address in vitals.alerts.failing:
        since = f"since {stamp(address.failing_since)}: {address.last_error}"
        lines.append(("alerts", f"{address.name} takes none {since}; `afk-runner alerts test` tries it"))
    for paused in vitals.pauses:
        lines.append(("rate", f"{paused.name} paused until {stamp(paused.until)}: {paused.reason}"))
    for view in views:
        note = ", paused" if view.paused is not None else f", {view.note}" if view.overdue_ms else ""
        lines.append(("schedule", f"{view.schedule.name} next {stamp(view.schedule.next_at)}{note}"))
    return lines


def _lately(vitals: Vitals) -> list[tuple[str, str]]:
    """What last went well: a runner that lives may still achieve nothing."""
    lately = vitals.lately

    def ago(at: int | None, what: str, name: str | None) -> str:
        return f"{what} {duration(max(0, vitals.read_at - at))} ago ({name})" if at is not None else f"no {what} yet"

    done = ago(lately.done_at, "job done", lately.done_key)
    lines = [("lately", f"{done}, {ago(lately.called_at, 'call settled', lately.called_model)}")]
    if (ping := lately.ping) is not None:
        when = f"{duration(max(0, vitals.read_at - ping.at))} ago" if ping.at is not None else "never"
        lines.append(("ping", f"answered {when}" + (f", the last one was not: {ping.fault}" if ping.fault else "")))
    return lines


def _runner(view: RunnerView) -> str:
    row = view.row
    if row is None:
        return "never started" if view.health is Health.NEVER else "holds the lock and has not written a word yet"
    age = f"heartbeat {duration(view.heartbeat_age_ms or 0)} ago"
    why = f" ({row.reason})" if row.reason else ""
    who = f"pid {row.pid} on {row.host}, version {row.version}"
    if view.health in (Health.LIVE, Health.LATE):
        late = "late, " if view.health is Health.LATE else ""
        unwritten = view.unwritten
        held_up = f"; {unwritten.text}" if unwritten is not None and unwritten.text != row.reason else ""
        return f"{row.state.value}{why}, {who}, {late}{age}{held_up}"
    if view.health is Health.SILENT:
        return f"silent: {who} holds the lock, {age}; it hangs or is frozen"
    if view.health is Health.DEAD:
        return f"dead: {who} went without a word, last {age}; `afk-runner run` starts one"
    return f"stopped ({row.ended or 'no reason kept'}), it was {who}"


def _stop(stop: StopView) -> str:
    if not stop.set:
        return "not set"
    by = f" by {stop.by}" if stop.by else ""
    at = f" at {stamp(stop.at)}" if stop.at else ""
    grace = ", without grace" if stop.now else ""
    return f"STOPPED{by}{at} ({', '.join(stop.sources)}{grace}): {stop.reason}; {lifts(stop)}"


def schedules(home: HomeDir = None, as_json: AsJson = False) -> None:
    """List the schedules with their next and last due times."""
    with reading(home) as reader:
        views = reader.schedules(now=SystemClock().now())
    if as_json:
        say_json([_schedule_json(view) for view in views])
    elif views:
        rows = [
            (
                *(view.schedule.name, stamp(view.schedule.next_at), stamp(view.schedule.last_slot), view.when),
                view.note or "",
            )
            for view in views
        ]
        say_table(("NAME", "NEXT", "LAST", "WHEN", "NOTE"), rows)
    else:
        remark("no schedules; a runner writes them down when it starts")


def _schedule_json(view: ScheduleView) -> dict[str, object]:
    return {
        "name": view.schedule.name,
        "spec": view.schedule.spec,
        "policy": view.schedule.policy,
        "next_at": iso(view.schedule.next_at),
        "last_slot": iso(view.schedule.last_slot),
        "last_skipped": view.last_skipped,
        "waiting": view.schedule.waiting,
        "overdue_s": view.overdue_ms / 1000,
        "paused": view.paused is not None,
        "paused_reason": view.paused,
    }


def logs(  # noqa: PLR0917 - typer reads the flags from the signature
    home: HomeDir = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with what happens, until Ctrl-C.")] = False,
    level: Annotated[Level, typer.Option("--level", help="This and worse.")] = Level.INFO,
    job: Annotated[str | None, typer.Option("--job", metavar="KEY", help="Only of this job.")] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """Print what happened, the newest last. With -f and --json every line is a document of its own."""
    levels = tuple(each.value for each in list(Level)[list(Level).index(level) :])
    with reading(home) as reader:
        # Looked up first: an event that comes in between is in the listing, or after this one and so in what follows.
        newest = reader.events(limit=1)
        found = reader.events(limit=limit, levels=levels, job=job)
        if as_json and not follow:
            say_json([event_json(event) for event in found])
            return
        for event in found:
            _say_event(event, as_json=as_json)
        if follow:
            last = max((event.id for event in (*newest, *found)), default=0)
            try:
                _follow(reader, last, levels=levels, job=job, as_json=as_json)
            except KeyboardInterrupt:
                return
        elif not found:
            remark("no events")


def _follow(reader: Reader, last: int, *, levels: tuple[str, ...], job: str | None, as_json: bool) -> None:
    """Print events after `last` as they come; ends when nobody reads them."""
    more = True
    while flush():
        try:
            more = reader.changed() or more
            if more:
                # Unfiltered: a filtered page may be empty although more stands behind it.
                page = reader.events(after=last, limit=_PAGE)
                more = len(page) == _PAGE
                last = page[-1].id if page else last
                for event in page:
                    if event.level in levels and (job is None or event.job == job):
                        _say_event(event, as_json=as_json)
        except StoreBusy:
            more = True  # somebody writes; the next look comes soon
        if not more:
            time.sleep(FOLLOW_EVERY_S)  # the file tells nobody that it changed


def _say_event(event: Event, *, as_json: bool) -> bool:
    if as_json:
        return say_json_line(event_json(event))
    about = " ".join(word for word in (event.job or event.task, f"#{event.attempt}" if event.attempt else None) if word)
    return say(f"{iso(event.at)} {event.level:<5} {event.event:<14} {about}{': ' if about else ''}{event.text}")
