"""Money, over any tab: the caps and the pace to look at, and the calls whose holds stand, to be written off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from console.line import line
from console.look import Look, Role
from console.messages import Do, Flash, JobWanted, LookNow, PageWanted, RowChosen, Said
from console.panes.pane import Key, Pane
from console.screens.writeoff import WriteOffQuestion
from console.seen import PAGE, Ask, Seen, View
from console.views.spend import SpendPage, holds, overview
from console.widgets.table import Table
from console.widgets.text import Text
from runner.snapshot import CapView, HeldCall, Reader, Slice
from runner.units import MINUTE_MS, UnixMs, exact_usd

if TYPE_CHECKING:
    from runner.commands import Door

MANY_CALLS = 50_000
"""Calls in a day above which a cap of the last 24 hours takes long to sum up: the caps are then read once a minute."""
_PARTS = 500
"""Tasks and models that are summed up one by one."""


@dataclass(slots=True)
class Kept:
    """What the look before read of a database and need not be read again. Of the thread that looks alone."""

    reader: Reader | None = None
    slices: tuple[Slice, ...] = ()
    caps: tuple[CapView, ...] = ()
    caps_at: UnixMs | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendAsk(Ask):
    """All of it."""

    again: int = 0
    """Counts what was read anew although nothing was written: the next part of a long day, or the next minute."""
    kept: Kept = field(default_factory=Kept, compare=False)

    def read(self, reader: Reader, *, now: UnixMs) -> SpendPage:
        kept = self.kept
        if kept.reader is not reader:
            kept.reader, kept.slices, kept.caps_at = reader, (), None
        pace = reader.pace(now=now, known=kept.slices)
        kept.slices = pace.slices
        few = pace.calls <= MANY_CALLS and not pace.missing
        if kept.caps_at is None or few or not 0 <= now - kept.caps_at < MINUTE_MS:
            kept.caps, kept.caps_at = reader.caps(now=now), now
        return SpendPage(
            at=now,
            caps=kept.caps,
            caps_at=kept.caps_at,
            tasks=reader.spend_by_task(now=now, limit=_PARTS),
            models=pace.models[:_PARTS],
            hours=pace.hours,
            missing=pace.missing,
            held=reader.held(),
            holds=reader.holds(limit=PAGE),
            prices=reader.prices(),
        )


class SpendPane(Pane):
    """A text above, the open holds below it; their heights depend on the screen alone."""

    view: ClassVar = View.SPEND
    keys: ClassVar = (
        Key("w", "Write off", "frees the hold under the cursor if its cost will never be known; asks why", 2, True),
        Key("Enter", "", "opens the job of the hold under the cursor"),
        Key("h", "Holds", "lets the arrows move over the open holds; again: scroll the text", 4),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("w", "write_off", show=False),
        Binding("h", "other", show=False),
    ]

    def __init__(self, look: Look, monotonic: Callable[[], float], *, id: str) -> None:
        super().__init__(look, monotonic, id=id)
        self._text = Text(look, id="spend-text")
        self.table = Table(look, id="spend-holds")
        self._kept = Kept()
        self._again = 0
        self._holds: Sequence[HeldCall] = ()
        self._seen: Seen | None = None
        self._page: SpendPage | None = None

    @property
    def ask(self) -> Ask:
        return SpendAsk(again=self._again, kept=self._kept)

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
        page = seen.page if isinstance(seen.page, SpendPage) else None
        if page is None:
            if self._page is None:
                self._text.show((line(("   not read", Role.WARN)),))
            return
        self._seen, self._page, self._holds = seen, page, page.holds
        self._redraw()
        if page.missing or abs(seen.at - page.at) >= MINUTE_MS:
            self._again += 1
            self.post_message(LookNow())

    def forget(self) -> None:
        self.table.forget()
        self._page, self._holds = None, ()  # what was kept is dropped where it is used, by its reader

    def on_row_chosen(self, message: RowChosen) -> None:
        message.stop()  # its id is a call's, not a job's
        hold = self._chosen()
        if hold is not None and hold.job is not None:
            self.post_message(JobWanted(hold.job))
        elif hold is not None:
            self.post_message(Flash(f"the job of hold {hold.id} was removed"))

    def on_page_wanted(self, message: PageWanted) -> None:
        message.stop()
        if message.to == "oldest":
            self.post_message(Flash("only these are listed; afk-runner spend --holds lists all"))

    def action_other(self) -> None:
        (self._text if self.table.has_focus else self.table).focus()

    def action_write_off(self) -> None:
        hold = self._chosen()
        if hold is None or self._seen is None:
            self.post_message(Flash("no hold is open here: there is nothing to write off"))
            return
        if hold.in_flight:
            self.post_message(Flash(f"hold {hold.id} is of a call in flight: it settles when the call ends"))
            return
        question = WriteOffQuestion(hold, self._seen, self.look, self.monotonic)

        def act(door: Door) -> Said:
            gone = door.write_off(hold.id, reason=question.reason)
            return Said(f"hold {gone.id} of {exact_usd(gone.hold)} written off: it counts no more")

        self.post_message(Do("w", act, question, left="left standing"))

    def _chosen(self) -> HeldCall | None:
        chosen = self.table.chosen()
        return next((one for one in self._holds if one.id in chosen), None)

    def _redraw(self) -> None:
        if self._seen is None or self._page is None:
            return
        self._text.show(overview(self._seen, self._page, self.size.width, self._text.size.height, self.look))
        self.table.show(holds(self._page, self._seen.at), total=self._page.held.calls)
