"""Which page of a long list is asked for: a window that slides with the cursor over pages found by id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from console.seen import PAGE
from console.views.table import RowId
from runner.snapshot import Job


@dataclass(frozen=True, slots=True)
class Window:
    """A page of all jobs, newest first."""

    upto: int | None = None
    """Its newest id, when it was reached from above; both None: the newest page."""
    after: int | None = None
    """The id just below its oldest, when it was reached from below."""

    def above(self, rows: Sequence[Job]) -> bool:
        """Whether there may be newer rows than these."""
        return self.upto is not None or (self.after is not None and len(rows) >= PAGE)

    def below(self, rows: Sequence[Job]) -> bool:
        """Whether there may be older rows than these."""
        return self.after > 0 if self.after is not None else len(rows) >= PAGE

    def moved(self, to: str, rows: Sequence[Job]) -> Window:
        """The window after a move to `newest`, `newer`, `older` or `oldest`; half of the rows stay."""
        if to == "oldest":
            return Window(after=0)
        if to == "newest" or not rows:
            return Window()
        middle = rows[len(rows) // 2].id
        return Window(upto=middle) if to == "older" else Window(after=middle)

    def keeping(self, cursor: RowId | None, rows: Sequence[Job], shown: Sequence[Job]) -> Window | None:
        """Another window, when the row under the cursor only slid out of `rows`, pushed by newer ones; else None."""
        slid = isinstance(cursor, int) and rows and cursor < rows[-1].id and self.below(rows)
        if not slid or not shown or cursor not in {job.id for job in shown}:
            return None
        return Window(upto=shown[0].id)
