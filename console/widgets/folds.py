"""A list in which some rows stand for others: they fold and unfold, and a mark on one is a mark on those."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message

from console.format import count
from console.look import Look
from console.messages import Flash
from console.views.table import Listing, RowId
from console.widgets.table import Table


@dataclass(frozen=True, slots=True)
class Fold:
    """What a row stands for."""

    ids: tuple[int, ...]
    """Those that are known, the newest first."""
    total: int
    """There are so many of them."""


@dataclass
class Marked(Message):
    """The marks are others: rows that tell of them are to be drawn again."""


@dataclass
class Turn(Message):
    """Fold or unfold what a row stands for, or stands in."""

    id: RowId
    folded: bool


class Folds(Table):
    """Marks ids alone, also those of rows that are folded away."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "turn(True)", show=False),
        Binding("right", "turn(False)", show=False),
    ]

    def __init__(self, look: Look, *, id: str) -> None:
        super().__init__(look, id=id, can_mark=True, paged=True)
        self.folds: Mapping[RowId, Fold] = {}
        self._everything: tuple[int, ...] = ()
        self._number = 0

    def show_folds(
        self, listing: Listing, *, folds: Mapping[RowId, Fold], everything: tuple[int, ...], total: int
    ) -> None:
        """Take a new list. Marks stay on what is still known, be it listed or folded away.

        `everything`: what "all" means, the newest first; `total`: how many there are.
        """
        self.folds, self._everything, self._number = folds, everything, total
        known = {*everything, *(id for fold in folds.values() for id in fold.ids)}
        listed = {row.id for row in listing.rows}
        self._keep(frozenset(id for id in self.marks if self.markable(id) and (id in known or id in listed)))
        self.show(listing)

    def action_mark(self) -> None:
        fold = self.folds.get(self.cursor) if self.cursor is not None else None
        if fold is None:
            if self.cursor is not None and self.markable(self.cursor):
                super().action_mark()
                self.post_message(Marked())
            return
        if self.cursor in self.gone:
            return
        ids = frozenset(fold.ids)
        if ids <= self.marks:
            self.marks -= ids
        elif self._has_room(len(ids - self.marks)):
            self.marks |= ids
            rest = f"; the other {count(fold.total - len(ids))} are not listed" if fold.total > len(ids) else ""
            self.post_message(Flash(f"{count(len(ids))} of this error marked{rest}"))
        self.post_message(Marked())

    def markable(self, id: RowId) -> bool:
        return isinstance(id, int)

    def action_extend(self, by: int) -> None:
        super().action_extend(by)
        self.post_message(Marked())

    def action_mark_all(self) -> None:
        self.marks = frozenset(self._everything)
        rest = self._number - len(self._everything)
        beyond = f"; {count(rest)} older ones are not" if rest > 0 else ""
        self.post_message(Flash(f"{count(len(self.marks))} marked; those that come later are not among them{beyond}"))
        self.post_message(Marked())

    def action_clear_marks(self) -> None:
        super().action_clear_marks()
        self.post_message(Marked())

    def action_turn(self, folded: bool) -> None:
        if self.cursor is not None and self.cursor not in self.gone:
            self.post_message(Turn(self.cursor, folded))
