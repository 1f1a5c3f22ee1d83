"""The breakers and the rates: what may not be called, why, and when that ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from console.format import age, clock_s, in_time, model_name, plural, took, when
from console.line import Line, Span, fit, line, wrap
from console.look import Look, Role
from console.seen import Seen
from console.views.table import Column, Listing, Row
from runner.snapshot import BrakeView, BreakerState, RatePause
from runner.units import UnixMs


@dataclass(frozen=True, slots=True, kw_only=True)
class Brake:
    """One breaker, and what it is called in the database."""

    view: BrakeView
    """As it may be shown."""
    raw: bytes
    """Its name as an act must give it: a model's name comes from outside, and the shown one may be another."""

    @property
    def name(self) -> str:
        """For acts, never for the screen."""
        return self.raw.decode("utf-8", "surrogatepass")

    @property
    def shown(self) -> str:
        """For the screen."""
        return self.view.breaker.name


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakersPage:
    """What the overlay shows."""

    at: UnixMs
    """When it was read."""
    brakes: tuple[Brake, ...] = ()


_COLUMNS = (
    Column(title="BREAKER", width=24, grow=6, most=44),
    Column(title="state", width=9),
    Column(title="in row", width=6, right=True, rank=4),
    Column(title="failed", width=8, right=True, rank=1),
    Column(title="lifts", width=9, right=True),
    Column(title="since", width=5, right=True, rank=5),
    Column(title="why", width=14, grow=4, rank=3),
)


def brakes(rows: Sequence[Brake], now: int) -> Listing:
    """All of them: those that hold something back first, then those with failures, then by name."""
    return Listing(
        columns=_COLUMNS,
        rows=tuple(_row(one, now) for one in sorted(rows, key=lambda one: _urgency(one, now))),
        empty="no model was called yet: every breaker is closed",
    )


def pause_of(view: BrakeView, now: int) -> RatePause | None:
    """The pause of its rate, while it lasts: that it is over is written nowhere."""
    return view.pause if view.pause is not None and view.pause.until > now else None


def at_rest(view: BrakeView, now: int) -> bool:
    """Whether there is nothing that a reset would change."""
    one = view.breaker
    quiet = one.state is BreakerState.CLOSED and not one.failures and not view.failed
    return quiet and pause_of(view, now) is None


def state_word(view: BrakeView, now: int) -> tuple[str, Role]:
    """What it is in."""
    match view.breaker.state:
        case BreakerState.OPEN:
            return "OPEN", Role.BAD
        case BreakerState.HALF_OPEN:
            return "HALF OPEN", Role.WARN
    if pause_of(view, now) is not None:
        return "paused", Role.WARN
    return ("closed", Role.WARN) if view.breaker.failures else ("closed", Role.GOOD)


def told(brake: Brake | None, seen: Seen, width: int, look: Look) -> tuple[Line, ...]:
    """Everything about one, in words."""
    if brake is None:
        return ()
    view, one, pause = brake.view, brake.view.breaker, pause_of(brake.view, seen.at)
    said = [f"{brake.shown} is {_state(view, seen.at)}"]
    said += [reason for reason in (pause.reason if pause else None, one.reason) if reason]
    if one.failures:
        said.append(f"{plural(one.failures, 'failure')} in a row")
    if view.calls:
        said.append(f"{view.failed} of {plural(view.calls, 'call')} failed in the last {age(view.window_ms)}")
    if waiting := waiting_for(brake, seen):
        said.append(f"{plural(waiting, 'job waits', 'jobs wait')} for it")
    rows = wrap("; ".join(said), max(10, width - 2))
    return (line((look.rule * width, Role.DIM)), *(fit((Span(f" {row}"),), width, look) for row in rows[:4]))


def waiting_for(brake: Brake, seen: Seen) -> int:
    """Jobs that a reset makes due."""
    gates = {f"breaker:{brake.shown}", f"rate:{brake.shown}"}
    return sum(one.jobs for one in (seen.vitals.waiting if seen.vitals else ()) if one.gate in gates)


def _state(view: BrakeView, now: int) -> str:
    one, pause = view.breaker, pause_of(view, now)
    word = one.state.value.replace("_", " ")
    if one.state is BreakerState.OPEN:
        word = f"OPEN since {when(one.changed_at, now)}"
        if one.retry_at is None:
            word += ", until a person resets it"
        else:
            word += f", for {took(one.retry_at - one.changed_at)}: then one call may try"
    elif one.state is BreakerState.HALF_OPEN:
        word = "HALF OPEN: the one call that may try is out" if one.trial is not None else "HALF OPEN: one call may try"
    return f"{word}, and its rate is paused until {clock_s(pause.until)}" if pause is not None else word


def _urgency(brake: Brake, now: int) -> tuple[int, str]:
    view = brake.view
    if view.breaker.state is not BreakerState.CLOSED:
        return 0, brake.shown
    return (1 if pause_of(view, now) is not None else 2 if not at_rest(view, now) else 3), brake.shown


def _row(brake: Brake, now: int) -> Row:
    view, one = brake.view, brake.view.breaker
    pause = pause_of(view, now)
    reasons = [*([pause.reason] if pause else []), *([one.reason] if one.reason else [])]
    return Row(
        brake.name,
        (
            (model_name(brake.shown), Role.PLAIN),
            state_word(view, now),
            (str(one.failures) if one.failures else "-", Role.WARN if one.failures else Role.DIM),
            (f"{view.failed} of {view.calls}" if view.calls else "-", Role.WARN if view.failed else Role.DIM),
            _lifts(view, now),
            (age(now - one.changed_at) if one.reason or one.failures or pause else "-", Role.DIM),
            ("; ".join(reasons), Role.DIM),
        ),
    )


def _lifts(view: BrakeView, now: int) -> tuple[str, Role]:
    """When a call may leave again."""
    one, pause = view.breaker, pause_of(view, now)
    ends = [pause.until] if pause is not None else []
    if one.state is BreakerState.HALF_OPEN:
        return "trial out" if one.trial is not None else "trial due", Role.WARN
    if one.state is BreakerState.OPEN:
        if one.retry_at is None:
            return "by hand", Role.WARN
        ends.append(one.retry_at)
    return (in_time(max(ends) - now), Role.PLAIN) if ends else ("-", Role.DIM)
