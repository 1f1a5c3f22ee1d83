"""A pane that is one list."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import ComposeResult

from console.line import line
from console.look import Look, Role
from console.panes.pane import Pane
from console.seen import Seen
from console.widgets.table import Table


class ListPane(Pane):
    """Holds a table with a cursor that sticks to ids."""

    def __init__(self, look: Look, monotonic: Callable[[], float], *, id: str, can_mark: bool = False) -> None:
        super().__init__(look, monotonic, id=id)
        self.table = Table(look, id=f"{id}-list", can_mark=can_mark)
        self._covered = True
        """Nothing was drawn since it was opened: what the list still shows is of another time."""

    def compose(self) -> ComposeResult:
        yield self.table

    def open(self) -> None:
        self._covered = True
        self.table.focus()

    def draw(self, seen: Seen) -> None:
        if seen.page is not None:
            self._covered = False
            self.draw_page(seen)
        elif self._covered:
            self.table.show_lines((line(("   not read", Role.WARN)),))

    def draw_page(self, seen: Seen) -> None:
        """Draw a page that was read."""
        raise NotImplementedError

    def forget(self) -> None:
        self.table.forget()
