"""The verb about what may not be called: breakers, and rates an upstream asked us to pause."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import Annotated

import typer

from runner.cli.shell import AsJson, HomeDir, example, reading, remark, say, say_json, say_table, stamp, words, writing
from runner.errors import NotFound, UsageError
from runner.home import Home
from runner.snapshot import BrakeView, Breaker, BreakerState
from runner.units import SystemClock, duration, iso


class Turn(StrEnum):
    """What a hand does to a breaker."""

    TRIP = "trip"
    RESET = "reset"


def register(app: typer.Typer) -> None:
    app.command(
        epilog=example(
            "afk-runner breaker",
            "afk-runner breaker trip anthropic/claude-haiku-4-5 --reason 'bad answers'",
            "afk-runner breaker reset 'anthropic/*' --reason 'a new key is in place'",
        )
    )(breaker)


def breaker(
    turn: Annotated[Turn | None, typer.Argument(metavar="[trip|reset]", help="Absent: list them.")] = None,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Upstream and model as the list has it; 'UPSTREAM/*' is all its models."),
    ] = None,
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="TEXT", parser=words, help="Why; trip and reset want one.")
    ] = None,
    home: HomeDir = None,
    as_json: AsJson = False,
) -> None:
    """List what holds calls back: breakers, and rates that are paused. Or open or close one by hand.

    One tripped by hand stays open until it is reset. A reset also lifts the pause of its rate.
    """
    if turn is None:
        with reading(home) as reader:
            views = reader.brakes(now=SystemClock().now())
        _list(views, as_json=as_json)
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
        remark(f"no call of it leaves until `afk-runner breaker reset '{name}' --reason ...`")
    else:
        say(f"reset {name}")


def _list(views: tuple[BrakeView, ...], *, as_json: bool) -> None:
    if as_json:
        say_json([_json(view) for view in views])
    elif views:
        header = ("NAME", "STATE", "IN A ROW", "FAILED", "COOL-DOWN", "TRIAL AT", "PAUSED UNTIL", "SINCE", "REASON")
        say_table(header, [_cells(view) for view in views])
    else:
        remark("no call has failed yet; every breaker is closed")


def _cells(view: BrakeView) -> tuple[str, ...]:
    one, pause = view.breaker, view.pause
    reasons = [*([pause.reason] if pause else []), *([one.reason] if one.reason else [])]
    return (
        one.name,
        one.state.value,
        f"{one.failures}",
        f"{view.failed} of {view.calls} in {duration(view.window_ms)}",
        _cool_down(one),
        _trial(one),
        stamp(pause.until) if pause else "-",
        stamp(one.changed_at),
        "; ".join(reasons),
    )


def _json(view: BrakeView) -> dict[str, object]:
    one, pause = view.breaker, view.pause
    waits = one.state is BreakerState.OPEN and one.retry_at is not None
    return {
        "name": one.name,
        "state": one.state.value,
        "failures": one.failures,
        "rate": {"calls": view.calls, "failures": view.failed, "window_s": view.window_ms / 1000},
        "cooldown_s": ((one.retry_at or 0) - one.changed_at) / 1000 if waits else None,
        "retry_at": iso(one.retry_at),
        "paused_until": iso(pause.until) if pause else None,
        "pause_reason": pause.reason if pause else None,
        "reason": one.reason,
        "changed_at": iso(one.changed_at),
    }


def _cool_down(one: Breaker) -> str:
    if one.state is not BreakerState.OPEN or one.retry_at is None:
        return "-"
    return duration(one.retry_at - one.changed_at)


def _trial(one: Breaker) -> str:
    if one.state is BreakerState.CLOSED:
        return "-"
    return stamp(one.retry_at) if one.retry_at is not None else "by hand"


def _check_upstream(name: str, home: Home) -> None:
    """Refuse a breaker of an upstream nobody has: it would protect nothing. Raises NotFound, ConfigError."""
    from runner.cli.tasks import KnownTasks  # noqa: PLC0415 - loads the configuration
    from runner.settings import nearest  # noqa: PLC0415

    upstream, slash, model = name.partition("/")
    if not slash or not model:
        raise UsageError(f"{name!r} is not an upstream and a model such as anthropic/claude-haiku-4-5")
    known = ["offline", *KnownTasks(home, environ=os.environ).config.upstreams]
    if upstream not in known:
        where = nearest(upstream, known) or "; [upstreams] of afk.toml declares them"
        raise NotFound(f"there is no upstream {upstream!r}{where}")
