"""Which page of a long list is asked for: a window that slides with the cursor over pages found by id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from console.seen import PAGE
from console.views.table import RowId
from runner.snapshot import Job

_FAR = 2**62
"""Beyond every id."""


@dataclass(frozen=True, slots=True)
class Window:
    """A page of a list of jobs, which begins with the newest or with the oldest."""

    upto: int | None = None
    """The id of its first row, when it was reached from above; both None: the first page."""
    after: int | None = None
    """The id just below its last row, when it was reached from below."""
    oldest_first: bool = False
    before: int | None = 0
    """About how many rows are above it; None: not known."""

    @property
    def begins(self) -> int | None:
        """The id a search begins beyond; None: at its very end."""
        if self.after is not None:
            return self.after
        return None if self.upto is None else self.upto - 1 if self.oldest_first else self.upto + 1

    @property
    def at_end(self) -> bool:
        """Whether nothing is below it."""
        return self.after == (_FAR if self.oldest_first else 0)

    def above(self, *, more: bool) -> bool:
        """Whether there may be rows before these; `more`: the search that found them has not come to its end."""
        return self.upto is not None or (self.after is not None and more)

    def below(self, *, more: bool) -> bool:
        """Whether there may be rows behind these."""
        return not self.at_end if self.after is not None else more

    def moved(self, to: str, rows: Sequence[Job]) -> Window:
        """The window after a move; half of the rows stay.

        `newest` and `oldest` are the first and the last page, `newer` and `older` those beside this one, as in a list
        that begins with the newest.
        """
        if to == "oldest":
            return Window(after=_FAR if self.oldest_first else 0, oldest_first=self.oldest_first, before=None)
        if to == "newest" or not rows:
            return Window(oldest_first=self.oldest_first)
        half = len(rows) // 2
        middle = rows[half].id
        if to == "older":
            before = None if self.before is None else self.before + half
            return Window(upto=middle, oldest_first=self.oldest_first, before=before)
        before = None if self.before is None else max(0, self.before + half - PAGE)
        return Window(after=middle, oldest_first=self.oldest_first, before=before)

    def keeping(self, cursor: RowId | None, rows: Sequence[Job], shown: Sequence[Job], *, more: bool) -> Window | None:
        """Another window, when the row under the cursor only slid out of `rows`, pushed by newer ones; else None."""
        if self.oldest_first or not rows or not shown or not self.below(more=more):
            return None
        slid = isinstance(cursor, int) and cursor < rows[-1].id and cursor in {job.id for job in shown}
        return Window(upto=shown[0].id, before=None) if slid else None


FIRST = Window()
"""The newest."""
