"""Raise today's cap? The amount and the reason are typed, and only then does `y` ask for it."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import ClassVar

from textual import events

from console.clean import clean
from console.format import clock, clock_s, count
from console.line import Line, Span, line
from console.look import Look, Role
from console.screens.question import SETTLE_S, Question, fact
from console.seen import Seen
from runner.units import MicroUsd, exact_usd, parse_usd, usd

LONGEST = 60
"""Characters of a typed line: a reason is a few words, and it stays on one line of the dialog."""


class Step(Enum):
    """What is typed now. Enter goes on to the next and never does more."""

    AMOUNT = "amount"
    REASON = "reason"
    SURE = "sure"


class RaiseQuestion(Question):
    """Dismisses with True once an amount above the cap and a reason were typed and `y` was pressed.

    While something is typed every letter is text, `k` too: F9 stops everything from in here.
    """

    ENDS: ClassVar[dict[Step, Step]] = {Step.AMOUNT: Step.REASON, Step.REASON: Step.SURE}

    def __init__(self, seen: Seen, look: Look, monotonic: Callable[[], float]) -> None:
        super().__init__(seen, look, monotonic, verb="raise it")
        self.step = Step.AMOUNT
        self.written = {Step.AMOUNT: "", Step.REASON: ""}
        self.fault = ""
        """Why the line that was entered does not do."""

    @property
    def amount(self) -> MicroUsd | None:
        """What was typed; None: no amount."""
        try:
            return parse_usd(self.written[Step.AMOUNT])
        except ValueError:
            return None

    @property
    def reason(self) -> str:
        """What was typed."""
        return self.written[Step.REASON].strip()

    def asks(self) -> str:
        return "Raise today's cap until midnight?"

    def facts(self, width: int) -> list[Line]:  # noqa: ARG002 - short enough for any width
        vitals = self.seen.vitals
        if vitals is None:
            return [fact("database", ("cannot be read: what stands is not known", Role.BAD))]
        spend = vitals.spend
        waits = sum(one.jobs for one in vitals.waiting if one.gate == "cap:day")
        lines = [
            fact(
                "cap",
                f"{usd(spend.cap or 0)}, of it {usd(spend.free or 0)} free; back to the configured one at "
                f"{clock(spend.resets_at)}",
            ),
            fact("waiting", f"{count(waits)} jobs wait for it" if waits else "no job waits for it"),
        ]
        if spend.raised is not None:
            lines.append(fact("raised", f"{clock_s(spend.raised.at)} by {spend.raised.by}: {spend.raised.reason}"))
        lines.append(self._field("to $", Step.AMOUNT))
        if self.step is not Step.AMOUNT:
            lines.append(self._field("because", Step.REASON))
        if self.fault:
            lines.append(fact("", (self.fault, Role.WARN)))
        return lines

    def on_key(self, event: events.Key) -> None:
        if self.step is Step.SURE:
            return  # the question's own handler comes next
        event.prevent_default()  # it does not: here every letter is text
        event.stop()
        if self._monotonic() - self._opened < SETTLE_S:
            return
        typed = self.written[self.step]
        if event.key == "escape":
            self.dismiss(False)
            return
        if event.key == "enter":
            self.fault = self._fault()
            self.step = self.step if self.fault else self.ENDS[self.step]
        elif event.key == "backspace":
            self.written[self.step] = typed[:-1]
        elif event.character and event.is_printable and len(typed) < LONGEST:
            self.written[self.step] = typed + event.character
        self.redraw()

    def _fault(self) -> str:
        if self.step is Step.REASON:
            return "" if self.reason else "a raise wants a reason, which is kept with your name"
        cap = self.seen.vitals.spend.cap if self.seen.vitals is not None else None
        if self.amount is None:
            return "dollars, such as 2.50"
        if cap is not None and self.amount <= cap:
            return f"the cap is {exact_usd(cap)}: a raise goes above it"
        return ""

    def _field(self, word: str, step: Step) -> Line:
        cursor = self.look.free if self.step is step else ""
        return fact(word, (clean(self.written[step]), Role.ACCENT), (cursor, Role.DIM))

    def _ways(self) -> list[Line]:
        if self.step is Step.SURE:
            return super()._ways()
        return [
            (Span(" "), *line(("Enter", Role.ACCENT), " goes on")),
            line(("   Esc", Role.ACCENT), " leave it as it is (default)    ", ("F9", Role.ACCENT), " kill"),
        ]
