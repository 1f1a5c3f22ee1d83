"""The report, over any tab: a text to scroll, and the open incidents below it, to be noted on and closed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from console.line import line
from console.look import Look, Role
from console.messages import Do, Flash, LookNow, PageWanted, RowChosen, Said
from console.panes.pane import Key, Pane
from console.screens.incident import CloseQuestion, NoteQuestion
from console.seen import Ask, Seen, View
from console.views.report import incidents, overview
from console.widgets.table import Table
from console.widgets.text import Text
from runner.snapshot import Incident, Reader, Report
from runner.units import MINUTE_MS, UnixMs

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


class ReportPane(Pane):
    """A text above, the open incidents below it; their heights depend on the screen alone."""

    view: ClassVar = View.REPORT
    keys: ClassVar = (
        Key("d", "Days", "shows 2, 7 or 30 days", 4),
        Key("h", "Incidents", "lets the arrows move over the open incidents; again: scroll the text", 5),
        Key("n", "Note", "adds a note to the journal of the incident under the cursor", 2, True),
        Key("x", "Close", "closes the incident under the cursor for good, after its cause and its fix", 2, True),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("d", "days", show=False),
        Binding("h", "other", show=False),
        Binding("n", "note", show=False),
        Binding("x", "close", show=False),
    ]

    def __init__(self, look: Look, monotonic: Callable[[], float], *, id: str) -> None:
        super().__init__(look, monotonic, id=id)
        self._text = Text(look, id="report-text")
        self.table = Table(look, id="report-incidents")
        self._days = SPANS[0]
        self._again = 0
        self._seen: Seen | None = None
        self._page: Report | None = None

    @property
    def ask(self) -> Ask:
        return ReportAsk(days=self._days, again=self._again)

    def compose(self) -> ComposeResult:
        yield self._text
        yield self.table

    def open(self) -> None:
        self._text.focus()

    def on_resize(self) -> None:
        height = self.size.height
        self.table.styles.height = 3 if height < 12 else 4 if height < 24 else 7
        self._redraw()

    def draw(self, seen: Seen) -> None:
        page = seen.page if isinstance(seen.page, Report) else None
        if page is None:
            if self._page is None:
                self._text.show((line(("   not read", Role.WARN)),))
            return
        self._seen, self._page = seen, page
        self._redraw()
        if abs(seen.at - page.at) >= MINUTE_MS:
            self._again += 1
            self.post_message(LookNow())

    def forget(self) -> None:
        self.table.forget()
        self._page = None

    def on_row_chosen(self, message: RowChosen) -> None:
        message.stop()  # its id is an incident's, not a job's
        chosen = self._chosen()
        if chosen is not None:
            self.post_message(Flash(f"afk-runner incidents show {chosen.id} has its journal"))

    def on_page_wanted(self, message: PageWanted) -> None:
        message.stop()
        if message.to == "oldest":
            self.post_message(Flash("only these are listed; afk-runner incidents lists all"))

    def action_days(self) -> None:
        self._days = SPANS[(SPANS.index(self._days) + 1) % len(SPANS)]
        self.post_message(LookNow())

    def action_other(self) -> None:
        (self._text if self.table.has_focus else self.table).focus()

    def action_note(self) -> None:
        chosen = self._wanted()
        if chosen is None or self._seen is None:
            return
        question = NoteQuestion(chosen, self._seen, self.look, self.monotonic)

        def act(door: Door) -> Said:
            door.note(chosen.id, question.reason)
            return Said(f"noted on incident {chosen.id}")

        self.post_message(Do("n", act, question, left="nothing was noted"))

    def action_close(self) -> None:
        chosen = self._wanted()
        if chosen is None or self._seen is None:
            return
        question = CloseQuestion(chosen, self._seen, self.look, self.monotonic)

        def act(door: Door) -> Said:
            door.close_incident(chosen.id, cause=question.cause, fix=question.fix)
            return Said(f"incident {chosen.id} closed, with its cause and its fix")

        self.post_message(Do("x", act, question, left="left open"))

    def _wanted(self) -> Incident | None:
        chosen = self._chosen()
        if chosen is None:
            self.post_message(Flash("no incident is open here"))
        return chosen

    def _chosen(self) -> Incident | None:
        chosen = self.table.chosen()
        there = self._page.waits.incidents if self._page is not None else ()
        return next((one for one in there if one.id in chosen), None)

    def _redraw(self) -> None:
        if self._seen is None or self._page is None:
            return
        self._text.show(overview(self._seen, self._page, self.size.width, self.look))
        self.table.show(incidents(self._page, self._seen.at), total=self._page.waits.incidents_open)
