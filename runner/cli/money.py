"""The verbs about spending and about what may not be called."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import Annotated

import typer

from runner.cli.shell import (
    AsJson,
    HomeDir,
    example,
    find_home,
    reading,
    remark,
    say,
    say_json,
    say_table,
    stamp,
    writing,
)
from runner.errors import NotFound, UsageError
from runner.home import Home
from runner.report import HeldCall, held_calls
from runner.snapshot import Breaker, SpendView, clock_ms
from runner.units import iso, usd

HELD_SHOWN = 50


class Turn(StrEnum):
    """What a hand does to a breaker."""

    TRIP = "trip"
    RESET = "reset"


def register(app: typer.Typer) -> None:
    app.command(epilog=example("afk-runner spend --days 30"))(spend)
    app.command(
        epilog=example(
            "afk-runner breaker", "afk-runner breaker trip anthropic/claude-haiku-4-5 --reason 'bad answers'"
        )
    )(breaker)


def spend(
    home: HomeDir = None,
    days: Annotated[int, typer.Option("--days", min=1, max=36_600, metavar="N", help="The newest days with any.")] = 7,
    as_json: AsJson = False,
) -> None:
    """Show what was spent, day by day.

    Held is reserved for calls in flight, or for calls that ended and nobody knows their true cost: it goes on counting.
    """
    with reading(home) as reader:
        today = reader.vitals(now=clock_ms()).spend
        rows = reader.spend_days(days=days)
    held = held_calls(find_home(home), limit=HELD_SHOWN)
    if as_json:
        listed = [
            {"day": day, "cost_microusd": settled + held, "settled_microusd": settled, "held_microusd": held}
            for day, settled, held in rows
        ]
        say_json({"today": _today_json(today), "days": listed, "held_calls": [_held_json(call) for call in held]})
        return
    cap = f" of {usd(today.cap)}" if today.cap is not None else " (the cap is known from the first run on)"
    free = f", {usd(today.free)} free" if today.free is not None else ""
    reached = f", reached at {stamp(today.reached_at)} at this pace" if today.reached_at else ""
    if today.reached:
        reached = f", CAP REACHED, lifts at {stamp(today.resets_at)}"
    spent = usd(today.settled + today.held)
    say(f"{today.day} ({today.zone}): {spent}{cap}, of it {usd(today.held)} held{free}{reached}")
    if rows:
        cells = [(day, usd(settled + held), usd(settled), usd(held)) for day, settled, held in rows]
        say_table(("DAY", "COST", "SETTLED", "HELD"), cells)
    else:
        remark("nothing was spent yet")
    _say_held(held)


def _say_held(held: tuple[HeldCall, ...]) -> None:
    if held:
        say()
        rows = [
            (stamp(call.held_at), call.task, call.job or "-", call.model, usd(call.hold), call.note or "in flight")
            for call in held
        ]
        say_table(("HELD SINCE", "TASK", "JOB", "MODEL", "HOLD", "WHY IT STANDS"), rows)
    if len(held) == HELD_SHOWN:
        remark(f"the newest {HELD_SHOWN} held calls")


def _held_json(call: HeldCall) -> dict[str, object]:
    return {
        "day": call.day,
        "held_at": iso(call.held_at),
        "task": call.task,
        "job": call.job,
        "model": call.model,
        "hold_microusd": call.hold,
        "note": call.note,
    }


def _today_json(today: SpendView) -> dict[str, object]:
    return {
        "day": today.day,
        "timezone": today.zone,
        "cap_microusd": today.cap,
        "settled_microusd": today.settled,
        "held_microusd": today.held,
        "free_microusd": today.free,
        "reached_at": iso(today.reached_at),
        "resets_at": iso(today.resets_at),
    }


def breaker(
    turn: Annotated[Turn | None, typer.Argument(metavar="[trip|reset]", help="Absent: list them.")] = None,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Upstream and model, as the list has it.")
    ] = None,
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="TEXT", help="Why; trip and reset want one.")
    ] = None,
    home: HomeDir = None,
    as_json: AsJson = False,
) -> None:
    """List the breakers, or open or close one by hand. One tripped by hand stays open until it is reset."""
    if turn is None:
        with reading(home) as reader:
            breakers = reader.vitals(now=clock_ms()).breakers
        _list(breakers, as_json=as_json)
        return
    if name is None or not (reason or "").strip():
        raise UsageError(f"breaker {turn} wants a NAME and a --reason")
    assert reason is not None
    with writing(home) as door:
        if turn is Turn.TRIP:
            _check_upstream(name, door.home)
            door.trip(name, reason=reason)
        else:
            door.reset(name, reason=reason)
    if as_json:
        say_json({"name": name, "state": "open" if turn is Turn.TRIP else "closed", "reason": reason})
    elif turn is Turn.TRIP:
        say(f"tripped {name}")
        remark(f"no call of it leaves until `afk-runner breaker reset {name} --reason ...`")
    else:
        say(f"reset {name}")


def _list(breakers: tuple[Breaker, ...], *, as_json: bool) -> None:
    if as_json:
        say_json([breaker_json(each) for each in breakers])
    elif breakers:
        rows = [
            (each.name, each.state.value, f"{each.failures}", _trial(each), stamp(each.changed_at), each.reason or "")
            for each in breakers
        ]
        say_table(("NAME", "STATE", "FAILURES", "TRIAL AT", "SINCE", "REASON"), rows)
    else:
        remark("no call has failed yet; every breaker is closed")


def breaker_json(each: Breaker) -> dict[str, object]:
    return {
        "name": each.name,
        "state": each.state.value,
        "failures": each.failures,
        "retry_at": iso(each.retry_at),
        "reason": each.reason,
        "changed_at": iso(each.changed_at),
    }


def _trial(each: Breaker) -> str:
    if each.state.value == "closed":
        return "-"
    return stamp(each.retry_at) if each.retry_at is not None else "by hand"


def _check_upstream(name: str, home: Home) -> None:
    """Refuse a breaker of an upstream nobody has: it would protect nothing. Raises NotFound, ConfigError."""
    from runner.cli.tasks import KnownTasks  # noqa: PLC0415 - loads the configuration
    from runner.settings import nearest  # noqa: PLC0415

    upstream, slash, model = name.partition("/")
    if not slash or not model:
        raise UsageError(f"{name!r} is not an upstream and a model such as anthropic/claude-haiku-4-5")
    known = ["offline", *KnownTasks(home, environ=os.environ).config.upstreams]
    if upstream not in known:
        raise NotFound(f"there is no upstream {upstream!r}{nearest(upstream, known)}")
