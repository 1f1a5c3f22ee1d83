"""The log: the events of the home, the newest at the bottom."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult

from console.look import Look
from console.panes.pane import Key, Pane
from console.seen import LogPart, Seen, View
from console.widgets.tail import Tail


class LogPane(Pane):
    """The tail, which is fed whether or not it is looked at."""

    view: ClassVar = View.LOG
    name_: ClassVar = "Log"
    keys: ClassVar = (Key("f", "Follow", "follows the newest (End too); scrolling up holds the text where it is"),)

    def __init__(self, look: Look, monotonic: Callable[[], float], *, id: str) -> None:
        super().__init__(look, monotonic, id=id)
        self._tail = Tail(look, id="log-tail")

    def compose(self) -> ComposeResult:
        yield self._tail

    def open(self) -> None:
        self._tail.focus()

    def take(self, part: LogPart) -> None:
        self._tail.take(part)

    def draw(self, seen: Seen) -> None:
        """The tail draws itself when it gains something."""
