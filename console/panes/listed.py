"""Panes that are one list."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from textual.app import ComposeResult

from console.line import line
from console.look import Look, Role
from console.messages import RowChosen
from console.panes.pane import Pane
from console.seen import Seen
from console.views.table import RowId
from console.widgets.table import Table

T = TypeVar("T")


class ListPane(Pane):
    """Holds a table with a cursor that sticks to ids."""

    def __init__(self, look: Look, monotonic: Callable[[], float], *, id: str, can_mark: bool = False) -> None:
        super().__init__(look, monotonic, id=id)
        self.table = Table(look, id=f"{id}-list", can_mark=can_mark)
        self._covered = True
        """Nothing was drawn since it was opened: what the list still shows is of another time."""

    @property
    def unmeant(self) -> str:
        return self.table.unmeant

    def compose(self) -> ComposeResult:
        yield self.table

    def open(self) -> None:
        self._covered = True
        self.table.reopen()
        self.table.take_keys()

    def draw(self, seen: Seen) -> None:
        if seen.page is not None:
            self._covered = False
            self.draw_page(seen)
        elif self._covered:
            self.table.cover(line(("   not read", Role.WARN)))

    def draw_page(self, seen: Seen) -> None:
        """Draw a page that was read."""
        raise NotImplementedError  # each list draws its own

    def forget(self) -> None:
        self.table.forget()


class RowsPane(ListPane, Generic[T]):
    """A list of values that are no jobs. It keeps those that are drawn, for the acts on the one under the cursor."""

    def __init__(self, look: Look, monotonic: Callable[[], float], *, id: str) -> None:
        super().__init__(look, monotonic, id=id)
        self.items: tuple[T, ...] = ()
        self.seen: Seen | None = None
        """The look they are from."""

    def row_of(self, item: T) -> RowId:
        """The id of its row."""
        raise NotImplementedError  # each list has rows of its own

    def chosen(self) -> T | None:
        """The one an act means now: under the cursor, once it was drawn there, and not gone."""
        return next((item for item in self.items if self.row_of(item) == self.table.target), None)

    def forget(self) -> None:
        super().forget()
        self.items = ()

    def on_row_chosen(self, message: RowChosen) -> None:
        message.stop()  # its id is no job's
