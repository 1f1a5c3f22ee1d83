"""Raise today's cap? The amount and the reason are typed, and only then does `y` ask for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from console.format import clock, clock_s, plural
from console.line import Line
from console.look import Look, Role
from console.messages import Do, Said
from console.screens.question import fact
from console.screens.typed import Field, TypedQuestion, reason
from console.seen import Seen
from runner.units import MicroUsd, exact_usd, parse_usd, usd

if TYPE_CHECKING:
    from runner.commands import Door, Raised


class RaiseQuestion(TypedQuestion):
    """Wants an amount above the cap, and why."""

    def __init__(self, seen: Seen, look: Look, monotonic: Callable[[], float]) -> None:
        fields = (Field("to $", self._amount_fault), reason(kind="a raise"))
        super().__init__(seen, look, monotonic, verb="raise it", fields=fields)

    @property
    def amount(self) -> MicroUsd | None:
        """What was typed; None: no amount."""
        try:
            return parse_usd(self.lines[0])
        except ValueError:
            return None

    def asks(self) -> str:
        return "Raise today's cap until midnight?"

    def known(self) -> list[Line]:
        vitals = self.seen.vitals
        if vitals is None:
            return [fact("database", ("cannot be read: what stands is not known", Role.BAD))]
        spend = vitals.spend
        waits = sum(one.jobs for one in vitals.waiting if one.gate == "cap:day")
        back = f"back to the configured one at {clock(spend.resets_at)}"
        lines = [
            fact("cap", f"{usd(spend.cap or 0)}, of it {usd(spend.free or 0)} free; {back}"),
            fact("waiting", f"{plural(waits, 'job')} for it" if waits else "no job waits for it"),
        ]
        if spend.raised is not None:
            lines.append(fact("raised", f"{clock_s(spend.raised.at)} by {spend.raised.by}: {spend.raised.reason}"))
        return lines

    def _amount_fault(self, typed: str) -> str:  # noqa: ARG002 - read as an amount
        cap = self.seen.vitals.spend.cap if self.seen.vitals is not None else None
        if self.amount is None:
            return "dollars, such as 2.50"
        if cap is not None and self.amount <= cap:
            return f"the cap is {exact_usd(cap)}: a raise goes above it"
        return ""


def told(raised: Raised) -> Said:
    """How it went."""
    if raised.already:
        return Said(f"the cap is {exact_usd(raised.cap)} already")
    until = f"until {clock(raised.until)}, midnight in {raised.zone}"
    woken = f"; {plural(raised.woken, 'job')} due again" if raised.woken else ""
    return Said(f"cap raised to {exact_usd(raised.cap)} {until}{woken}")


def raise_of(seen: Seen, look: Look, monotonic: Callable[[], float]) -> Do:
    """Ask for a higher cap of today, and raise it."""
    question = RaiseQuestion(seen, look, monotonic)

    def act(door: Door) -> Said:
        amount = question.amount
        if amount is None:  # the question takes no such answer
            return Said("not raised: no amount was typed", bad=True)
        return told(door.raise_cap(amount, reason=question.reason))

    return Do("$", act, question, left="left the cap as it is", failed="not raised")
