"""A text longer than its box, scrolled by keys."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from console.format import plural
from console.line import Line, line
from console.look import Look, Role
from console.widgets.lines import Lines


class Text(Lines, can_focus=True):
    """Draws a window of its lines."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,ctrl+p", "scroll(-1)", show=False),
        Binding("down,ctrl+n", "scroll(1)", show=False),
        Binding("pageup", "scroll_page(-1)", show=False),
        Binding("pagedown,space", "scroll_page(1)", show=False),
        Binding("home", "top", show=False),
        Binding("end", "bottom", show=False),
    ]

    def __init__(self, look: Look, *, id: str | None = None) -> None:
        super().__init__(look, id=id)
        self._all: tuple[Line, ...] = ()
        self._top = 0

    def show(self, lines: tuple[Line, ...], *, from_top: bool = False) -> None:
        """Take a new text; the place in it is kept unless `from_top`."""
        self._all = lines
        if from_top:
            self._top = 0
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
        self._top += by
        self.redraw()

    def action_scroll_page(self, pages: int) -> None:
        self.action_scroll(pages * max(1, self.size.height - 1))

    def action_top(self) -> None:
        self.action_scroll(-len(self._all))

    def action_bottom(self) -> None:
        self.action_scroll(len(self._all))
