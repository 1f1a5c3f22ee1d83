"""A dialog that asks before an act. Its default is to do nothing, and `k` stops everything from in here too."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

from console.line import EMPTY, Line, Span, line
from console.look import Look, Role
from console.seen import Seen
from console.widgets.lines import Lines

SETTLE_S = 0.3
"""Keys within this time of the opening were meant for what was on the screen before: they are dropped."""
WIDEST = 76
FRAME = 7
"""Lines around the facts: the border, the question, the ways out, and below the box what was said and the keys."""


class Question(ModalScreen[bool]):
    """Dismisses with True on `y` alone. Where `word` is set, it must be typed first.

    Every key arrives in `on_key`, a paste arrives nowhere: nothing pasted can answer.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("k", "app.kill", show=False)]

    def __init__(self, seen: Seen, look: Look, monotonic: Callable[[], float], *, verb: str, word: str = "") -> None:
        super().__init__()
        self.seen = seen
        self.look = look
        self.verb = verb
        """What `y` does, in the words of the last line."""
        self.word = word
        self.typed = ""
        self._dialog = Lines(look, id="dialog")
        self._monotonic = monotonic
        self._opened = monotonic()

    def asks(self) -> str:
        """The question."""
        raise NotImplementedError  # each dialog asks its own

    def facts(self, width: int) -> list[Line]:
        """What there is to know before answering."""
        raise NotImplementedError  # each dialog knows its own

    def compose(self) -> ComposeResult:
        yield self._dialog

    def on_mount(self) -> None:
        self.redraw()

    def on_resize(self) -> None:
        self.redraw()

    def see(self, seen: Seen) -> None:
        """The home was looked at again: the facts move, what was asked about does not."""
        self.seen = seen
        self.redraw()

    def redraw(self) -> None:
        """Draw the question in a box of its size."""
        dialog = self._dialog
        width = max(20, min(WIDEST, self.size.width - 2))
        room = self.size.height - FRAME
        gap = (EMPTY,) if room > 8 else ()
        facts = self.facts(width - 4)[: max(2, room - 2 * len(gap))]
        lines = (line((f" {self.asks()}", Role.STRONG)), *gap, *facts, *gap, *self._ways())
        dialog.styles.width, dialog.styles.height = width, len(lines) + 2
        dialog.show_lines(lines)

    def on_key(self, event: events.Key) -> None:
        if event.key == "k":
            return  # goes on to the binding
        event.stop()
        if self._monotonic() - self._opened < SETTLE_S:
            return
        if event.key in ("n", "q", "escape"):
            self.dismiss(False)
        elif event.key == "y" and self.typed == self.word:
            self.dismiss(True)
        elif self.word and event.character and event.is_printable:
            typed = self.typed + event.character
            again = event.character if self.word.startswith(event.character) else ""
            self.typed = typed if self.word.startswith(typed) else again
            self.redraw()

    def _ways(self) -> list[Line]:
        leave: Line = line(("   n q Esc", Role.ACCENT), " leave it as it is (default)")
        if self.typed != self.word:
            rest = self.look.free * (len(self.word) - len(self.typed))
            return [line(" Type ", (self.word, Role.ACCENT), ": ", self.typed, (rest, Role.DIM)), leave]
        return [(Span(" "), *line(("y", Role.ACCENT), f" {self.verb}"), *leave)]


def fact(word: str, *pieces: str | tuple[str, Role]) -> Line:
    """A fact of a dialog: its name in a column, then what is known."""
    return line((f" {word:<9}", Role.DIM), *pieces)
