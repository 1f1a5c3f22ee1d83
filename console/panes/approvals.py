"""What waits for a person's word: actions that cannot be undone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType

from console.messages import Do, Flash, PageWanted, RowChosen, Said
from console.panes.listed import RowsPane
from console.panes.pane import Key
from console.screens.draft import ApproveQuestion, RejectQuestion
from console.seen import PAGE, Ask, Seen, View
from console.views.approvals import approvals
from runner.snapshot import Draft, DraftState, Reader
from runner.units import UnixMs

if TYPE_CHECKING:
    from runner.commands import Door


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalsAsk(Ask):
    """The drafts that wait, the newest first."""

    def read(self, reader: Reader, *, now: UnixMs) -> tuple[Draft, ...]:  # noqa: ARG002 - it needs no ages
        return reader.drafts(state=DraftState.WAITING, limit=PAGE)


class ApprovalsPane(RowsPane[Draft]):
    """The list; nothing is approved from it unread."""

    view: ClassVar = View.APPROVALS
    keys: ClassVar = (
        Key("Enter", "Read, approve", "shows the whole request (a too); there y approves it, once", writes=True),
        Key("d", "Reject", "rejects the one under the cursor, after a reason", writes=True),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "approve", show=False),
        Binding("d", "reject", show=False),
    ]

    @property
    def ask(self) -> Ask:
        return ApprovalsAsk()

    def draw_page(self, seen: Seen) -> None:
        self.items, self.seen = seen.page if isinstance(seen.page, tuple) else (), seen
        waiting = seen.waits(self.view)
        self.table.show(approvals(self.items, seen.at, total=waiting), total=waiting)

    def row_of(self, item: Draft) -> int:
        return item.id

    def on_row_chosen(self, message: RowChosen) -> None:
        message.stop()
        self.action_approve()

    def on_page_wanted(self, message: PageWanted) -> None:
        message.stop()
        if message.to == "oldest":
            self.post_message(Flash("only these are listed; afk-runner drafts --limit N lists more"))

    def action_approve(self) -> None:
        draft = self.chosen()
        if draft is None or self.seen is None:
            self.say_unmeant(self.table.listing.empty)
            return

        def act(door: Door) -> Said:
            return Said(f"draft {draft.id} approved: {draft.performs} is queued as {door.approve(draft.id).key}")

        question = ApproveQuestion(draft, self.seen, self.look, self.monotonic)
        self.post_message(Do("a", act, question, left="left waiting"))

    def action_reject(self) -> None:
        draft = self.chosen()
        if draft is None or self.seen is None:
            self.say_unmeant(self.table.listing.empty)
            return
        question = RejectQuestion(draft, self.seen, self.look, self.monotonic)

        def act(door: Door) -> Said:
            door.reject(draft.id, reason=question.reason)
            return Said(f"draft {draft.id} rejected: it will not be done")

        self.post_message(Do("d", act, question, left="left waiting"))
