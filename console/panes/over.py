"""Panes that are a text over a list; their heights depend on the screen alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from console.line import line
from console.look import Look, Role
from console.messages import Flash, LookNow, PageWanted
from console.panes.pane import Pane
from console.seen import Seen
from console.widgets.table import Table
from console.widgets.text import Text
from runner.units import MINUTE_MS, UnixMs


class Dated(Protocol):
    """A page that knows when it was read."""

    @property
    def at(self) -> UnixMs:
        """That moment."""
        ...


P = TypeVar("P", bound=Dated)


class OverPane(Pane, Generic[P]):
    """Arrows scroll the text, and after `h` they move over the list."""

    kind: ClassVar[type[Any]]
    """Of its page."""
    rest: ClassVar[str]
    """The command that lists what the list leaves out."""
    BINDINGS: ClassVar[list[BindingType]] = [Binding("h", "other", show=False)]

    def __init__(self, look: Look, monotonic: Callable[[], float], *, id: str) -> None:
        super().__init__(look, monotonic, id=id)
        self.text = Text(look, id=f"{id}-text")
        self.table = Table(look, id=f"{id}-list")
        self.seen: Seen | None = None
        """The look the page is from."""
        self.page: P | None = None
        self.again = 0
        """Counts what is read anew although nothing was written: the minutes go by."""

    def draw_page(self, seen: Seen, page: P) -> None:
        """Draw both."""
        raise NotImplementedError  # each draws its own

    def is_whole(self, page: P) -> bool:  # noqa: ARG002 - for pages that take several looks
        """Whether no other look is needed for the rest of it."""
        return True

    @property
    def unmeant(self) -> str:
        return self.table.unmeant

    def compose(self) -> ComposeResult:
        yield self.text
        yield self.table

    def open(self) -> None:
        self.text.take_keys()

    def on_resize(self) -> None:
        height = self.size.height
        self.table.styles.height = 3 if height < 12 else 4 if height < 24 else 7
        if self.seen is not None and self.page is not None:
            self.draw_page(self.seen, self.page)

    def draw(self, seen: Seen) -> None:
        if not isinstance(seen.page, self.kind):
            if self.page is None:
                self.text.show((line(("   not read", Role.WARN)),))
            return
        page: P = seen.page
        self.seen, self.page = seen, page
        self.draw_page(seen, page)
        if not self.is_whole(page) or abs(seen.at - page.at) >= MINUTE_MS:
            self.again += 1
            self.post_message(LookNow())

    def forget(self) -> None:
        self.table.forget()
        self.page = None

    def on_page_wanted(self, message: PageWanted) -> None:
        message.stop()
        if message.to == "oldest":
            self.post_message(Flash(f"only these are listed; {self.rest} lists all"))

    def action_other(self) -> None:
        if not self.table.has_focus and self.page is not None and not self.table.listing.rows:
            self.post_message(Flash(f"{self.table.listing.empty}: the arrows go on moving the text"))
        else:
            (self.text if self.table.has_focus else self.table).take_keys()
