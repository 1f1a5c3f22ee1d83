"""The end of the log: it follows, until somebody scrolls up; then it stays where it was left and counts what is new."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import ClassVar

from textual.binding import Binding, BindingType

from console.format import count
from console.line import Line, line, spread
from console.look import Look, Role
from console.seen import LogPart
from console.views.log import event_line
from console.widgets.lines import Lines
from runner.snapshot import Event

KEEP = 5_000
"""Events held; older ones are in the log files."""


class Tail(Lines, can_focus=True):
    """A ring of events, drawn from the one that is at the bottom."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,ctrl+p", "scroll(-1)", show=False),
        Binding("down,ctrl+n", "scroll(1)", show=False),
        Binding("pageup", "scroll_page(-1)", show=False),
        Binding("pagedown", "scroll_page(1)", show=False),
        Binding("home", "oldest", show=False),
        Binding("end,f", "follow", show=False),
    ]

    def __init__(self, look: Look, *, id: str | None = None, keep: int = KEEP, hint: str = "") -> None:
        super().__init__(look, id=id)
        self._events: deque[Event] = deque(maxlen=keep)
        self._hint = hint
        self._bottom: int | None = None
        """Id of the event at the bottom; None: follows the newest."""
        self._skipped = 0

    @property
    def following(self) -> bool:
        """Whether new events move the text."""
        return self._bottom is None

    def take(self, part: LogPart) -> None:
        """Add what the log has gained."""
        if part.fresh:
            self._events.clear()
            self._bottom, self._skipped = None, 0
        self._events.extend(part.events)
        self._skipped += part.skipped
        if part.fresh or part.events:
            self.redraw()

    def action_scroll(self, by: int) -> None:
        last = len(self._events) - 1
        index = max(min(last, self._room() - 1), min(last, self._bottom_index() + by))
        self._bottom = self._events[index].id if 0 <= index < last else None
        self.redraw()

    def action_scroll_page(self, pages: int) -> None:
        self.action_scroll(pages * max(1, self._room() - 1))

    def action_oldest(self) -> None:
        self.action_scroll(-len(self._events))

    def action_follow(self) -> None:
        self._bottom = None
        self.redraw()

    def redraw(self) -> None:
        """Draw the events that end at the bottom."""
        width, room = self.size.width, self._room()
        if width <= 0:
            return
        bottom = self._bottom_index()
        shown = islice(self._events, max(0, bottom - room + 1), bottom + 1)
        lines: list[Line] = [self._title(width, len(self._events) - 1 - bottom)]
        lines += [event_line(event, width, self.look) for event in shown]
        if not self._events:
            lines.append(line(("   nothing was logged yet", Role.DIM)))
        self.show_lines(tuple(lines))

    def on_resize(self) -> None:
        self.redraw()

    def _title(self, width: int, newer: int) -> Line:
        if self.following:
            title = line((" LOG", Role.DIM), ("  following", Role.DIM))
        else:
            title = line(
                (" LOG", Role.DIM),
                ("  held", Role.WARN),
                (f"  {self.look.down} {count(newer)} newer, f follows", Role.DIM),
            )
        if self._skipped:
            title = (*title, *line((f"  {count(self._skipped)} skipped", Role.WARN)))
        return spread(title, line((self._hint, Role.ACCENT)), width, self.look)

    def _bottom_index(self) -> int:
        if self._bottom is not None:
            for index, event in enumerate(self._events):
                if event.id >= self._bottom:
                    return index
        return len(self._events) - 1

    def _room(self) -> int:
        return max(0, self.size.height - 1)
