"""The schedules: when each is due next, and what became of its last slot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType

from console.messages import Do, Said
from console.panes.listed import RowsPane
from console.panes.pane import Key
from console.screens.pausing import PauseQuestion
from console.seen import Ask, Seen, View
from console.views.schedules import schedules
from runner.snapshot import Reader, ScheduleView
from runner.units import UnixMs

if TYPE_CHECKING:
    from runner.commands import Door


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulesAsk(Ask):
    """All of them."""

    def read(self, reader: Reader, *, now: UnixMs) -> tuple[ScheduleView, ...]:
        return reader.schedules(now=now)


class SchedulesPane(RowsPane[ScheduleView]):
    """The list; a pause is asked for with its reason, taking it back and firing are not."""

    view: ClassVar = View.SCHEDULES
    keys: ClassVar = (
        Key("p", "Pause", "pauses the schedule and its task, after a reason; lifts the pause of a paused one", 3, True),
        Key("f", "Fire now", "queues one job of it now, beside its slots; not while its last job is not over", 3, True),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "pause", show=False),
        Binding("f", "fire", show=False),
    ]

    @property
    def ask(self) -> Ask:
        return SchedulesAsk()

    def draw_page(self, seen: Seen) -> None:
        self.items, self.seen = seen.page if isinstance(seen.page, tuple) else (), seen
        self.table.show(schedules(self.items, seen.at))

    def row_of(self, item: ScheduleView) -> str:
        return item.schedule.name

    def action_pause(self) -> None:
        view = self.chosen()
        if view is None or self.seen is None:
            self.say_unmeant(self.table.listing.empty)
            return
        name = view.schedule.name
        if view.paused is not None:
            self.post_message(Do("p", lambda door: _unpaused(door, name)))
            return
        question = PauseQuestion(name, self.seen, self.look, self.monotonic)
        self.post_message(Do("p", lambda door: _paused(door, name, question.reason), question))

    def action_fire(self) -> None:
        view = self.chosen()
        if view is None:
            self.say_unmeant(self.table.listing.empty)
            return
        name = view.schedule.name
        self.post_message(Do("f", lambda door: Said(f"queued {door.fire(name).key}")))


def _paused(door: Door, name: str, reason: str) -> Said:
    return Said(f"{name} paused" if door.pause(name, reason=reason) else f"{name} was paused already")


def _unpaused(door: Door, name: str) -> Said:
    return Said(f"{name} unpaused" if door.unpause(name) else f"{name} was not paused any more")
