"""The report, over any tab: a text, and the open incidents below it, to be noted on and closed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType

from console.look import Look
from console.messages import Do, Flash, LookNow, RowChosen, Said
from console.panes.over import OverPane
from console.panes.pane import Key
from console.screens.incident import CloseQuestion, NoteQuestion
from console.seen import Ask, Seen, View
from console.views.report import incidents, overview
from runner.snapshot import Incident, Reader, Report
from runner.units import UnixMs

if TYPE_CHECKING:
    from runner.commands import Door

SPANS = (2, 7, 30)
"""Days that can be looked at: since yesterday's midnight, a week, a month."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportAsk(Ask):
    """The report of so many days."""

    days: int = SPANS[0]
    again: int = 0
    """Counts what was read anew although nothing was written: the minutes go by."""

    def read(self, reader: Reader, *, now: UnixMs) -> Report:
        return reader.report(days=self.days, now=now)


class ReportPane(OverPane[Report]):
    """The report above the open incidents."""

    view: ClassVar = View.REPORT
    kind: ClassVar = Report
    rest: ClassVar = "afk-runner incidents"
    keys: ClassVar = (
        Key("d", "Days", "shows 2, 7 or 30 days", 4),
        Key("h", "Incidents", "lets the arrows move over the open incidents; again: scroll the text", 5),
        Key("n", "Note", "adds a note to the journal of the incident under the cursor", 2, True),
        Key("x", "Close", "closes the incident under the cursor for good, after its cause and its fix", 2, True),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("d", "days", show=False),
        Binding("n", "note", show=False),
        Binding("x", "close", show=False),
    ]

    def __init__(self, look: Look, monotonic: Callable[[], float], *, id: str) -> None:
        super().__init__(look, monotonic, id=id)
        self._days = SPANS[0]

    @property
    def ask(self) -> Ask:
        return ReportAsk(days=self._days, again=self.again)

    def draw_page(self, seen: Seen, page: Report) -> None:
        self.text.show(overview(seen, page, self.size.width, self.look))
        self.table.show(incidents(page, seen.at), total=page.waits.incidents_open)

    def on_row_chosen(self, message: RowChosen) -> None:
        message.stop()  # its id is an incident's, not a job's
        chosen = self._chosen()
        if chosen is not None:
            self.post_message(Flash(f"afk-runner incidents show {chosen.id} has its journal"))

    def action_days(self) -> None:
        self._days = SPANS[(SPANS.index(self._days) + 1) % len(SPANS)]
        self.post_message(LookNow())

    def action_note(self) -> None:
        chosen = self._wanted()
        if chosen is None or self.seen is None:
            return
        question = NoteQuestion(chosen, self.seen, self.look, self.monotonic)

        def act(door: Door) -> Said:
            door.note(chosen.id, question.reason)
            return Said(f"noted on incident {chosen.id}")

        self.post_message(Do("n", act, question, left="nothing was noted"))

    def action_close(self) -> None:
        chosen = self._wanted()
        if chosen is None or self.seen is None:
            return
        question = CloseQuestion(chosen, self.seen, self.look, self.monotonic)

        def act(door: Door) -> Said:
            door.close_incident(chosen.id, cause=question.cause, fix=question.fix)
            return Said(f"incident {chosen.id} closed, with its cause and its fix")

        self.post_message(Do("x", act, question, left="left open"))

    def _wanted(self) -> Incident | None:
        chosen = self._chosen()
        if chosen is None:
            self.say_unmeant("no incident is open here")
        return chosen

    def _chosen(self) -> Incident | None:
        chosen = self.table.chosen()
        there = self.page.waits.incidents if self.page is not None else ()
        return next((one for one in there if one.id in chosen), None)
