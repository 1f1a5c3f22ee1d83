"""The schedules: when each is due next, and what became of its last slot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from console.panes.listed import ListPane
from console.seen import Ask, Seen, View
from console.views.schedules import schedules
from runner.snapshot import Reader, ScheduleView
from runner.units import UnixMs


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulesAsk(Ask):
    """All of them."""

    def read(self, reader: Reader, *, now: UnixMs) -> tuple[ScheduleView, ...]:
        return reader.schedules(now=now)


class SchedulesPane(ListPane):
    """The list."""

    view: ClassVar = View.SCHEDULES
    name_: ClassVar = "Schedules"

    @property
    def ask(self) -> Ask:
        return SchedulesAsk()

    def draw_page(self, seen: Seen) -> None:
        self.table.show(schedules(seen.page if isinstance(seen.page, tuple) else (), seen.at))
