"""The dead letters: what gave up, why, and what to replay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType

from console.look import Look
from console.messages import Flash, LookNow, PageWanted, RowChosen
from console.panes.listed import ListPane
from console.panes.pane import Key
from console.replays import MOST, Letters, discard
from console.seen import PAGE, Ask, Seen, View
from console.views.dead import group_row, letters, more_row
from console.widgets.folds import Fold, Folds, Marked, Turn
from runner.snapshot import DeadGroup, DeadPage, Job, Reader
from runner.units import UnixMs


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadAsk(Ask):
    """The dead letters by error."""

    unfolded: bool | None = None
    """Whether errors list their letters; None: when there are few, which is found out with the first look."""
    turned: frozenset[str] = frozenset()
    """Errors, by fingerprint, that are the other way round."""
    reach: tuple[tuple[str, int], ...] = ()
    """How many letters an error lists, where more were asked for."""

    def read(self, reader: Reader, *, now: UnixMs) -> DeadPage:  # noqa: ARG002 - it needs no ages
        return reader.dead_page(unfolded=self.unfolded, turned=self.turned, reach=dict(self.reach))


class DeadPane(ListPane):
    """The list, with folds and marks."""

    view: ClassVar = View.DEAD
    keys: ClassVar = (
        Key("Enter", "Open/fold", "opens a job; folds or unfolds an error (Left and Right too)"),
        Key("Space", "Mark", "marks a job, or the listed jobs of an error", rank=4, writes=True),
        Key("*", "", "marks every dead job there is now; c clears the marks", writes=True),
        Key("r", "", "replays what is marked, or the job or error under the cursor", writes=True),
        Key("z", "", "undoes the last replay from here while nothing was claimed", writes=True),
        Key("D", "Remove", "removes what is marked for good, once its number was typed", rank=5, writes=True),
    )
    BINDINGS: ClassVar[list[BindingType]] = [Binding("D", "discard", show=False)]

    def __init__(self, look: Look, monotonic: Callable[[], float], *, id: str) -> None:
        super().__init__(look, monotonic, id=id)
        self.folds = Folds(look, id=f"{id}-list")
        self.table = self.folds
        self._ask = DeadAsk()
        self._page = DeadPage()
        self._seen: Seen | None = None

    @property
    def ask(self) -> Ask:
        return self._ask

    # --- drawing --------------------------------------------------------------------------------------------------

    def draw_page(self, seen: Seen) -> None:
        if not isinstance(seen.page, DeadPage):
            return
        self._page, self._seen = seen.page, seen
        if self._ask.unfolded is None and seen.page.total:
            # From here on it stays: a list that folds by itself when one letter more comes would jump.
            self._change(unfolded=seen.page.unfolded)
        self._show()

    def _show(self) -> None:
        if self._seen is None:
            return
        page = self._page
        folds = {
            group_row(group): Fold(tuple(job.id for job in group.listed) or group.ids, group.jobs)
            for group in page.groups
        }
        listing = letters(page, self._seen.at, self.look, marks=self.folds.marks)
        self.folds.show_folds(listing, folds=folds, everything=page.ids, total=page.total)

    def on_marked(self, message: Marked) -> None:
        message.stop()
        self._show()

    def forget(self) -> None:
        super().forget()
        self._ask, self._page, self._seen = DeadAsk(), DeadPage(), None

    # --- folding --------------------------------------------------------------------------------------------------

    def on_row_chosen(self, message: RowChosen) -> None:
        if isinstance(message.id, int):
            return  # a job: the board opens it
        message.stop()
        for group in self._page.groups:
            if message.id == group_row(group):
                self._turn(group, folded=self._unfolded(group))
            elif message.id == more_row(group):
                self._list_more(group)

    def on_turn(self, message: Turn) -> None:
        message.stop()
        for group in self._page.groups:
            if message.id in (group_row(group), more_row(group)) or message.id in {job.id for job in group.listed}:
                self._turn(group, folded=message.folded)
                return

    def _turn(self, group: DeadGroup, *, folded: bool) -> None:
        self.folds.go_to(group_row(group))
        if folded == self._unfolded(group):
            reach = tuple(pair for pair in self._ask.reach if pair[0] != group.fingerprint)
            self._change(turned=self._ask.turned ^ {group.fingerprint}, reach=reach)

    def _unfolded(self, group: DeadGroup) -> bool:
        """What was asked for last; the list may not show it yet."""
        begun = self._page.unfolded if self._ask.unfolded is None else self._ask.unfolded
        return begun != (group.fingerprint in self._ask.turned)

    def _list_more(self, group: DeadGroup) -> None:
        if len(group.listed) >= MOST:
            self.post_message(Flash(f"only the newest {MOST:,} are listed; r on the line of the error takes as many"))
            return
        self.folds.go_to(group.listed[-1].id)  # the line that was entered moves down, or goes
        others = tuple(pair for pair in self._ask.reach if pair[0] != group.fingerprint)
        self._change(reach=(*others, (group.fingerprint, len(group.listed) + PAGE)))

    def _change(
        self,
        *,
        unfolded: bool | None = None,
        turned: frozenset[str] | None = None,
        reach: tuple[tuple[str, int], ...] | None = None,
    ) -> None:
        self._ask = DeadAsk(
            unfolded=self._ask.unfolded if unfolded is None else unfolded,
            turned=self._ask.turned if turned is None else turned,
            reach=self._ask.reach if reach is None else reach,
        )
        self.post_message(LookNow())

    def on_page_wanted(self, message: PageWanted) -> None:
        message.stop()
        if message.to == "oldest":
            self.post_message(Flash("only the newest 100 errors are listed; afk-runner dead --limit N lists more"))

    # --- acts -----------------------------------------------------------------------------------------------------

    def targets(self) -> tuple[Job, ...]:
        chosen = set(self.table.chosen())
        return tuple(job for group in self._page.groups for job in group.listed if job.id in chosen)

    def letters(self) -> Letters | None:
        marked = tuple(sorted(id for id in self.folds.marks if isinstance(id, int)))
        cursor = self.folds.target
        if not self.folds.was_shown:
            return None
        if marked:
            return Letters(ids=marked, page=self._page)
        if cursor is None:
            return None
        if isinstance(cursor, int):
            return Letters(ids=(cursor,), page=self._page)
        group = next((group for group in self._page.groups if group_row(group) == cursor), None)
        return Letters(group=group, page=self._page) if group is not None else None

    def action_discard(self) -> None:
        chosen = self.letters()
        if chosen is None or self._seen is None:
            self.say_unmeant("D removes dead jobs for good: arrows choose one, Space marks")
        else:
            self.post_message(discard(chosen, self._seen, self.look, self.monotonic))
