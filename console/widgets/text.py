"""A text longer than its box, scrolled by keys. Its reader keeps the place when it becomes another text."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType

from console.format import plural
from console.line import Line, line
from console.look import Look, Role
from console.widgets.lines import Lines

ALIKE = 3
"""Lines in a row by which a place is known again."""
FAR = 500
"""How far from where it should be a place is looked for."""


class Text(Lines, can_focus=True):
    """Draws a window of its lines."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,ctrl+p", "scroll(-1)", show=False),
        Binding("down,ctrl+n", "scroll(1)", show=False),
        Binding("pageup", "scroll_page(-1)", show=False),
        Binding("pagedown,space", "scroll_page(1)", show=False),
        Binding("home", "top", show=False),
        Binding("end", "bottom", show=False),
        Binding("tab", "section(1)", show=False),
        Binding("shift+tab", "section(-1)", show=False),
    ]

    def __init__(self, look: Look, *, id: str | None = None) -> None:
        super().__init__(look, id=id)
        self._all: tuple[Line, ...] = ()
        self._sections: tuple[tuple[str, int], ...] = ()
        """Name and first line of each."""
        self._top = 0
        self._follows = False
        """It was scrolled to its end, and stays there when it grows."""

    def show(
        self, lines: tuple[Line, ...], *, sections: Sequence[tuple[str, int]] = (), from_top: bool = False
    ) -> None:
        """Take a new text; the place in it is kept unless `from_top`."""
        if from_top:
            self._top, self._follows = 0, False
        elif self._follows:
            self._top = len(lines)
        elif self._top:
            self._top = self._same_place(lines, sections)
        self._all, self._sections = lines, tuple(sections)
        self.redraw()

    def redraw(self) -> None:
        """Draw what is in view."""
        height = self.size.height
        self._top = max(0, min(self._top, len(self._all) - height))
        shown = self._all[self._top : self._top + height]
        below = len(self._all) - self._top - height
        if below > 0 and shown:
            shown = (*shown[:-1], line((f" {self.look.down} {plural(below + 1, 'more line')}", Role.DIM)))
        self.show_lines(shown)

    def on_resize(self) -> None:
        self.redraw()

    def action_scroll(self, by: int) -> None:
        self._follows = False
        self._top += by
        self.redraw()

    def action_scroll_page(self, pages: int) -> None:
        self.action_scroll(pages * max(1, self.size.height - 1))

    def action_top(self) -> None:
        self.action_scroll(-len(self._all))

    def action_bottom(self) -> None:
        self.action_scroll(len(self._all))
        self._follows = True

    def action_section(self, by: int) -> None:
        """Have the next section at the top, or the one before."""
        starts = [start for _, start in self._sections]
        if by > 0:
            later = [start for start in starts if start > self._top]
            self.action_scroll(later[0] - self._top if later else len(self._all))
        else:
            earlier = [start for start in starts if start < self._top]
            self.action_scroll((earlier[-1] if earlier else 0) - self._top)

    def _same_place(self, lines: tuple[Line, ...], sections: Sequence[tuple[str, int]]) -> int:
        """Where the line at the top of the box is in the new text: the lines there, or else as far into its section."""
        starts = [start for _, start in self._sections]
        number = bisect_right(starts, self._top) - 1
        guess = self._top
        if number >= 0:
            name, start = self._sections[number]
            guess = next((after for again, after in sections if again == name), start) + self._top - start
        known = self._all[self._top : self._top + ALIKE]
        for away in sorted(range(-FAR, FAR + 1), key=abs):
            place = guess + away
            if place >= 0 and lines[place : place + len(known)] == known:
                return place
        return guess
