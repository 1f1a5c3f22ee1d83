"""A box of lines: the one way anything is drawn here."""

from __future__ import annotations

from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from console.line import EMPTY, Line, fit
from console.look import Look
from console.theme import strip_of


class Lines(Widget):
    """Draws lines and redraws only those that changed: the library sends a dirty box whole, over ssh too."""

    def __init__(self, look: Look, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.look = look
        self.lines: tuple[Line, ...] = ()

    def show_lines(self, lines: tuple[Line, ...]) -> None:
        """Draw these, the first at the top."""
        before, self.lines = self.lines, lines
        if before == lines:
            return
        for y in range(max(len(before), len(lines))):
            old = before[y] if y < len(before) else None
            new = lines[y] if y < len(lines) else None
            if old != new:
                self.refresh(Region(0, y, self.size.width, 1))

    def take_keys(self) -> None:
        """Have the next key: the library's own `focus` waits for its turn, and what is pressed meanwhile is lost."""
        self.screen.set_focus(self, scroll_visible=False)

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        line = self.lines[y] if y < len(self.lines) else EMPTY
        return strip_of(fit(line, width, self.look), width)
