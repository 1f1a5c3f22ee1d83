"""What needs a person, and what comes next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from console.format import age, clock, model_name, money, plural, when
from console.line import Line, fit, line
from console.look import Look, Role
from console.seen import Seen
from console.views.running import first_line
from console.views.stop import answered
from runner.snapshot import (
    Attempt,
    Breaker,
    BreakerState,
    Draft,
    Health,
    Holds,
    Job,
    RunState,
    ScheduleView,
    Vitals,
)
from runner.units import MINUTE_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class HomePage:
    """What Home shows beside the vitals."""

    running: tuple[tuple[Job, Attempt], ...] = ()
    dead: tuple[Job, ...] = ()
    """The newest dead letter."""
    drafts: tuple[Draft, ...] = ()
    """The newest that waits for approval."""
    held: Holds = field(default_factory=Holds)
    schedules: tuple[ScheduleView, ...] = ()
    incidents: int = 0
    """That nobody has closed."""


def needs(seen: Seen, page: HomePage | None, width: int, look: Look) -> tuple[Line, ...]:
    """One line for each thing that waits for a person, the most urgent first, each with the key that leads there."""
    found: list[tuple[str, str]] = []
    if seen.trouble is not None:
        found.append((seen.trouble.text, ""))
    if seen.vitals is not None:
        found += _runner_needs(seen.vitals)
        found += [(_breaker(one), "b") for one in seen.vitals.breakers if one.state is not BreakerState.CLOSED]
        if seen.vitals.spend.free == 0:
            lifts = clock(seen.vitals.spend.resets_at)
            found.append((f"the day's cap is reached: calls are refused until {lifts}", "$"))
        found += _waiting_needs(seen.vitals)
        found += _draft_needs(seen.vitals, page, now=seen.at)
        found += _dead_needs(seen, page.dead if page else ())
        found += _hold_needs(page, now=seen.at)
        found += _resting_needs(seen.vitals, page)
    if not found:
        return ()
    return tuple(_need(text, key, width, look) for text, key in found)


def next_line(schedules: Sequence[ScheduleView], now: int, width: int, look: Look) -> Line:
    """The schedules that come next."""
    ahead = sorted(
        (view.schedule.next_at, view.schedule.name)
        for view in schedules
        if view.schedule.next_at is not None and view.paused is None
    )
    if not ahead:
        return line((" NEXT  ", Role.DIM), ("no schedule", Role.DIM))
    shown = "   ".join(f"{when(at, now) if at > now else 'due now'} {name}" for at, name in ahead[:3])
    more = f"   +{len(ahead) - 3} more" if len(ahead) > 3 else ""
    return fit(line((" NEXT  ", Role.DIM), shown, (more, Role.DIM)), width, look)


def _need(text: str, key: str, width: int, look: Look) -> Line:
    room = width - (4 if key else 0)
    left = fit(line((" ! ", Role.WARN), text), room, look)
    return (*left, *line((f" [{key}]", Role.ACCENT))) if key else left


def _runner_needs(vitals: Vitals) -> list[tuple[str, str]]:
    health = vitals.runner.health
    if health is Health.SILENT:
        return [("the runner holds its lock and says nothing; end it with K, or afk-runner kill --force", "K")]
    if health in (Health.DEAD, Health.NEVER, Health.STOPPED):
        gone = "the runner is gone without a word" if health is Health.DEAD else "no runner is running"
        return [(f"{gone}; start it: afk-runner run", "")]
    if (unwritten := vitals.runner.unwritten) is not None:
        return [(f"{unwritten.text}; nothing starts or ends until it can", "")]
    if vitals.stop.set and answered(vitals.stop, vitals.runner):
        return [(f"stopped: {vitals.stop.reason or 'no reason given'}; nothing starts until it is resumed", "u")]
    row = vitals.runner.row
    if not vitals.stop.set and row is not None and row.state is RunState.PARKED and row.reason:
        return [(f"the runner parked itself: {row.note or row.reason}", "")]
    return []


def _waiting_needs(vitals: Vitals) -> list[tuple[str, str]]:
    """What a person could lift: caps and pauses. Breakers have their own line."""
    needs = []
    for held in vitals.waiting:
        kind, _, name = held.gate.partition(":")
        if kind == "cap":
            needs.append((f"{plural(held.jobs, 'job')} for the {name} cap, until {clock(held.until)}", "m"))
        elif kind == "pause":
            needs.append((f"{plural(held.jobs, 'job')} for task {name}, which is paused", "2"))
        elif kind == "task":
            needs.append((f"{plural(held.jobs, 'job')} for task {name}, unknown to the runner; restart it", "2"))
    return [(f"waiting: {text}", key) for text, key in needs]


def _dead_needs(seen: Seen, dead: Sequence[Job]) -> list[tuple[str, str]]:
    total = seen.vitals.counts.dead if seen.vitals else 0
    if not total:
        return []
    newest = dead[0] if dead else None
    last = ""
    if newest is not None and newest.finished_at is not None:
        last = f", the last {age(seen.at - newest.finished_at)} ago: {newest.task}: {first_line(newest.error)}"
    return [(f"{plural(total, 'dead letter')}{last}", "3")]


def _draft_needs(vitals: Vitals, page: HomePage | None, *, now: int) -> list[tuple[str, str]]:
    if not vitals.drafts_waiting:
        return []
    last = ""
    if page is not None and page.drafts:
        newest = page.drafts[0]
        last = f", the last {age(now - newest.at)} ago: {newest.performs}: {first_line(newest.summary)}"
    return [(f"{plural(vitals.drafts_waiting, 'action waits', 'actions wait')} for approval{last}", "4")]


def _hold_needs(page: HomePage | None, *, now: int) -> list[tuple[str, str]]:
    """Money that counts as spent although nobody knows whether it was."""
    if page is None or not page.held.standing:
        return []
    held = page.held
    since = f", the oldest for {age(now - held.oldest)}" if held.oldest is not None else ""
    amount = f"{plural(held.standing, 'hold stands', 'holds stand')} for {money(held.standing_total)}"
    return [(f"{amount}{since}: nobody knows what the calls cost", "m")]


def _resting_needs(vitals: Vitals, page: HomePage | None) -> list[tuple[str, str]]:
    """What does no harm where it is, and is easily forgotten."""
    found = []
    told = {one.gate.partition(":")[2] for one in vitals.waiting if one.gate.startswith("pause:")}
    scheduled = {one.schedule.name for one in page.schedules} if page is not None else set()
    for pause in vitals.paused:
        if pause.name not in told:
            lift = "" if pause.name in scheduled else f"; afk-runner unpause {pause.name}"
            found.append((f"task {pause.name} is paused by {pause.by}: {pause.reason}{lift}", "" if lift else "5"))
    if vitals.counts.halted:
        found.append((f"{plural(vitals.counts.halted, 'job')} halted by their own limit or criteria", "2"))
    for address in vitals.alerts.failing:
        since = clock(address.failing_since) if address.failing_since is not None else "-"
        found.append((f"{address.name} takes no alert since {since}: {address.last_error or 'no reason'}", "6"))
    if page is not None and page.incidents:
        found.append((f"{plural(page.incidents, 'incident is open', 'incidents are open')}: cause and fix?", "i"))
    if untold := min(vitals.alerts.undelivered, vitals.alerts.open):  # what is over is nobody's need any more
        found.append((f"{plural(untold, 'alert')} that nobody was told of: {_untold(vitals)}", ""))
    return found


def _untold(vitals: Vitals) -> str:
    since = vitals.alerts.untold_since
    if not vitals.alerts.addressed and since is not None and vitals.read_at - since >= MINUTE_MS:
        return "no address was tried: set [alerts] urls"
    return vitals.alerts.last_error or "afk-runner alerts lists them"


def _breaker(breaker: Breaker) -> str:
    word = (
        "is trying again" if breaker.state is BreakerState.HALF_OPEN else f"is OPEN since {clock(breaker.changed_at)}"
    )
    return f"breaker {model_name(breaker.name)} {word}{f': {breaker.reason}' if breaker.reason else ''}"
