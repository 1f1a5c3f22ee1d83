"""Money, over any tab: the caps and the pace to look at, and the calls whose holds stand, to be written off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType

from console.look import Look
from console.messages import Do, Flash, JobWanted, RowChosen, Said
from console.panes.over import OverPane
from console.panes.pane import Key
from console.screens.writeoff import WriteOffQuestion
from console.seen import PAGE, Ask, Seen, View
from console.views.spend import SpendPage, holds, overview
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


class SpendPane(OverPane[SpendPage]):
    """Caps and pace above the open holds."""

    view: ClassVar = View.SPEND
    kind: ClassVar = SpendPage
    rest: ClassVar = "afk-runner spend --holds"
    keys: ClassVar = (
        Key("w", "Write off", "frees the hold under the cursor if its cost will never be known; asks why", 2, True),
        Key("Enter", "", "opens the job of the hold under the cursor"),
        Key("h", "Holds", "lets the arrows move over the open holds; again: scroll the text", 4),
    )
    BINDINGS: ClassVar[list[BindingType]] = [Binding("w", "write_off", show=False)]

    def __init__(self, look: Look, monotonic: Callable[[], float], *, id: str) -> None:
        super().__init__(look, monotonic, id=id)
        self._kept = Kept()  # after another database it is dropped where it is used, by its reader

    @property
    def ask(self) -> Ask:
        return SpendAsk(again=self.again, kept=self._kept)

    def draw_page(self, seen: Seen, page: SpendPage) -> None:
        self.text.show(overview(seen, page, self.size.width, self.text.size.height, self.look))
        self.table.show(holds(page, seen.at), total=page.held.calls)

    def is_whole(self, page: SpendPage) -> bool:
        return not page.missing

    def on_row_chosen(self, message: RowChosen) -> None:
        message.stop()  # its id is a call's, not a job's
        hold = self._chosen()
        if hold is not None and hold.job is not None:
            self.post_message(JobWanted(hold.job))
        elif hold is not None:
            self.post_message(Flash(f"the job of hold {hold.id} was removed"))

    def action_write_off(self) -> None:
        hold = self._chosen()
        if hold is None or self.seen is None:
            self.say_unmeant("no hold is open here: there is nothing to write off")
            return
        if hold.in_flight:
            self.post_message(Flash(f"hold {hold.id} is of a call in flight: it settles when the call ends"))
            return
        question = WriteOffQuestion(hold, self.seen, self.look, self.monotonic)

        def act(door: Door) -> Said:
            gone = door.write_off(hold.id, reason=question.reason)
            return Said(f"hold {gone.id} of {exact_usd(gone.hold)} written off: it counts no more")

        self.post_message(Do("w", act, question, left="left standing"))

    def _chosen(self) -> HeldCall | None:
        chosen = self.table.chosen()
        there = self.page.holds if self.page is not None else ()
        return next((one for one in there if one.id in chosen), None)
