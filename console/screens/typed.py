"""A question with lines to be typed first, and only then `y` does it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from textual import events

from console.clean import clean
from console.line import Line, Span, line
from console.look import Look, Role
from console.screens.question import SETTLE_S, Question, fact
from console.seen import Seen

LONGEST = 60
"""Characters of a typed line: a reason is a few words, and it stays on one line of the dialog."""


@dataclass(frozen=True, slots=True)
class Field:
    """One line to be typed."""

    word: str
    """What stands before it."""
    fault: Callable[[str], str]
    """Why a line does not do, as one sentence; empty when it does."""


def reason_if_any() -> Field:
    """The line that may say why, where nothing is done that cannot be taken back."""
    return Field("because", lambda _: "")


def reason(word: str = "because", *, kind: str = "this") -> Field:
    """The line that says why."""
    return Field(word, lambda typed: "" if typed.strip() else f"{kind} wants a reason, which is kept with your name")


class TypedQuestion(Question):
    """Dismisses with True once every line was typed and `y` was pressed.

    While something is typed every letter is text, `k` too: F9 stops everything from in here. Enter goes on to the
    next line and never does more.
    """

    def __init__(
        self, seen: Seen, look: Look, monotonic: Callable[[], float], *, verb: str, fields: tuple[Field, ...]
    ) -> None:
        super().__init__(seen, look, monotonic, verb=verb)
        self.fields = fields
        self.lines = [""] * len(fields)
        """What was typed, a line a field."""
        self._at = 0
        """Which is typed now; beyond the last: all are."""
        self._fault = ""

    @property
    def reason(self) -> str:
        """The last line, in which a question asks why."""
        return self.lines[-1].strip()

    def known(self) -> list[Line]:
        """What there is to know before typing."""
        raise NotImplementedError  # each prompt knows its own

    def facts(self, width: int) -> list[Line]:  # noqa: ARG002 - short enough for any width
        shown = [self._field(place) for place in range(min(self._at + 1, len(self.fields)))]
        fault = [fact("", (self._fault, Role.WARN))] if self._fault else []
        return [*self.known(), *shown, *fault]

    def on_key(self, event: events.Key) -> None:
        if self._at >= len(self.fields):
            return  # the question's own handler comes next
        event.prevent_default()  # it does not: here every letter is text
        event.stop()
        if self._monotonic() - self._opened < SETTLE_S:
            return
        typed = self.lines[self._at]
        if event.key == "escape":
            self.dismiss(False)
            return
        if event.key == "enter":
            self._fault = self.fields[self._at].fault(typed)
            self._at += not self._fault
        elif event.key == "backspace":
            self.lines[self._at] = typed[:-1]
        elif event.character and event.is_printable and len(typed) < LONGEST:
            self.lines[self._at] = typed + event.character
        self.redraw()

    def _field(self, place: int) -> Line:
        cursor = self.look.free if place == self._at else ""
        return fact(self.fields[place].word, (clean(self.lines[place]), Role.ACCENT), (cursor, Role.DIM))

    def _ways(self) -> list[Line]:
        if self._at >= len(self.fields):
            return super()._ways()
        return [
            (Span(" "), *line(("Enter", Role.ACCENT), " goes on")),
            line(("   Esc", Role.ACCENT), " leave it as it is (default)    ", ("F9", Role.ACCENT), " kill"),
        ]
