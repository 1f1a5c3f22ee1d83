"""What needs a person, and what comes next."""

from __future__ import annotations

from collections.abc import Sequence

from console.format import age, clock, plural
from console.line import Line, fit, line
from console.look import Look, Role
from console.seen import Seen
from console.views.jobs import first_line
from console.views.stop import answered
from runner.snapshot import Breaker, BreakerState, Health, Job, ScheduleView, Vitals


def needs(seen: Seen, dead: Sequence[Job], width: int, look: Look) -> tuple[Line, ...]:
    """One line for each thing that waits for a person, the most urgent first, each with the key that leads there.

    `dead`: the newest dead letter, if any.
    """
    found: list[tuple[str, str]] = []
    if seen.trouble is not None:
        found.append((seen.trouble.text, ""))
    if seen.vitals is not None:
        found += _runner_needs(seen.vitals)
        found += [(_breaker(one), "") for one in seen.vitals.breakers if one.state is not BreakerState.CLOSED]
        if seen.vitals.spend.free == 0:
            lifts = clock(seen.vitals.spend.resets_at)
            found.append((f"the day's cap is reached: calls are refused until {lifts}", ""))
        found += _waiting_needs(seen.vitals) if seen.vitals else []
        found += _dead_needs(seen, dead)
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
    shown = "   ".join(f"{clock(at) if at > now else 'due now'} {name}" for at, name in ahead[:3])
    more = f"   +{len(ahead) - 3} more" if len(ahead) > 3 else ""
    return fit(line((" NEXT  ", Role.DIM), shown, (more, Role.DIM)), width, look)


def _need(text: str, key: str, width: int, look: Look) -> Line:
    room = width - (4 if key else 0)
    left = fit(line((" ! ", Role.WARN), text), room, look)
    return (*left, *line((f" [{key}]", Role.ACCENT))) if key else left


def _runner_needs(vitals: Vitals) -> list[tuple[str, str]]:
    health = vitals.runner.health
    if health is Health.SILENT:
        pid = f" -9 {vitals.runner.row.pid}" if vitals.runner.row else " -9 PID"
        return [(f"the runner holds its lock and says nothing; end it: kill{pid}", "")]
    if health is Health.DEAD:
        return [("the runner is gone without a word; start it: afk-runner run", "")]
    if health in (Health.NEVER, Health.STOPPED):
        return [("no runner is running; start it: afk-runner run", "")]
    if vitals.stop.set and answered(vitals.stop, vitals.runner):
        return [(f"stopped: {vitals.stop.reason or 'no reason given'}; nothing starts until it is resumed", "u")]
    return []


def _waiting_needs(vitals: Vitals) -> list[tuple[str, str]]:
    """What a person could lift: caps and pauses. Breakers have their own line."""
    needs = []
    for held in vitals.waiting:
        kind, _, name = held.gate.partition(":")
        if kind == "cap":
            needs.append((f"{plural(held.jobs, 'job')} for the {name} cap, until {clock(held.until)}", "2"))
        elif kind == "pause":
            needs.append((f"{plural(held.jobs, 'job')} for task {name}, which is paused", "2"))
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


def _breaker(breaker: Breaker) -> str:
    word = (
        "is trying again" if breaker.state is BreakerState.HALF_OPEN else f"is OPEN since {clock(breaker.changed_at)}"
    )
    return f"breaker {breaker.name} {word}{f': {breaker.reason}' if breaker.reason else ''}"
