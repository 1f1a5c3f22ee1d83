"""What may not be called, over any tab: the breakers with their failures, and the rates that are paused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from console.look import Look
from console.messages import Do, Flash, LookNow, Said
from console.panes.listed import RowsPane
from console.panes.pane import Key
from console.screens.brakes import ResetQuestion, TripQuestion
from console.seen import Ask, Seen, View
from console.views.breakers import Brake, BreakersPage, at_rest, brakes, told
from console.widgets.lines import Lines
from console.widgets.table import Table
from runner.snapshot import Reader
from runner.units import SECOND_MS, UnixMs

if TYPE_CHECKING:
    from runner.commands import Door

OLD_MS = 10 * SECOND_MS
"""A page read longer ago is read again, for what counts in it is of the last minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakersAsk(Ask):
    """All of them, those that never failed as well: any may be tripped."""

    again: int = 0
    """Counts what was read anew although nothing was written: failures of a while ago count no more."""

    def read(self, reader: Reader, *, now: UnixMs) -> BreakersPage:
        views = reader.brakes(now=now, quiet=True)
        found = (Brake(view=view, raw=view.breaker.name.encode("utf-8", "surrogatepass")) for view in views)
        return BreakersPage(at=now, brakes=tuple(found))


class _Brakes(Table):
    """Tells whenever it is drawn, so that what is told of its row moves with the cursor."""

    def __init__(self, look: Look, *, id: str, moved: Callable[[], None]) -> None:
        super().__init__(look, id=id)
        self._tell = moved

    def redraw(self) -> None:
        super().redraw()
        self._tell()


class BreakersPane(RowsPane[Brake]):
    """The list, and below it all there is to say of the one under the cursor."""

    view: ClassVar = View.BREAKERS
    keys: ClassVar = (
        Key("t", "Trip", "opens the breaker under the cursor until a person resets it; asks why", 2, True),
        Key("e", "Reset", "closes it, and lifts the pause of its rate; names what will flow, and asks why", 2, True),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "trip", show=False),
        Binding("e", "reset", show=False),
    ]

    def __init__(self, look: Look, monotonic: Callable[[], float], *, id: str) -> None:
        super().__init__(look, monotonic, id=id)
        self._again = 0
        self._told = Lines(look, id="breakers-told")
        self.table = _Brakes(look, id=f"{id}-list", moved=self._tell)

    @property
    def ask(self) -> Ask:
        return BreakersAsk(again=self._again)

    def compose(self) -> ComposeResult:
        yield self.table
        yield self._told

    def on_resize(self) -> None:
        self._told.styles.height = 3 if self.size.height < 12 else 5
        self._tell()

    def draw_page(self, seen: Seen) -> None:
        page = seen.page if isinstance(seen.page, BreakersPage) else BreakersPage(at=seen.at)
        self.items, self.seen = page.brakes, seen
        self.table.show(brakes(self.items, seen.at))
        if abs(seen.at - page.at) >= OLD_MS:
            self._again += 1
            self.post_message(LookNow())

    def row_of(self, item: Brake) -> str:
        return item.name

    def action_trip(self) -> None:
        chosen = self.chosen()
        if chosen is None or self.seen is None:
            self.say_unmeant("no breaker is listed: a model is, once it was called")
            return
        question = TripQuestion(chosen, self.seen, self.look, self.monotonic)

        def act(door: Door) -> Said:
            door.trip(chosen.name, reason=question.reason)
            return Said(f"{chosen.shown} tripped: no call to it leaves until it is reset")

        self.post_message(Do("t", act, question, left="left as it was"))

    def action_reset(self) -> None:
        chosen = self.chosen()
        if chosen is None or self.seen is None:
            return
        if at_rest(chosen.view, self.seen.at):
            self.post_message(Flash(f"{chosen.shown} is closed and nothing failed: there is nothing to reset"))
            return
        question = ResetQuestion(chosen, self.seen, self.look, self.monotonic)

        def act(door: Door) -> Said:
            door.reset(chosen.name, reason=question.reason)
            return Said(f"{chosen.shown} reset: calls to it may leave")

        self.post_message(Do("e", act, question, left="left as it was"))

    def _tell(self) -> None:
        if self.seen is not None:
            under = next((one for one in self.items if one.name == self.table.cursor), None)
            self._told.show_lines(told(under, self.seen, self.size.width, self.look))
