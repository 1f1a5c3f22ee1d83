"""A list with a cursor that sticks to what it is on: rows come and go, the cursor and the marks stay with their ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message

from console.format import count
from console.line import Line, fit, spread, width_of
from console.look import Look
from console.messages import Flash, PageWanted, RowChosen
from console.views.table import (
    Listing,
    Row,
    RowId,
    empty_line,
    head_line,
    place,
    place_line,
    row_line,
    told_by_their_end,
)
from console.widgets.meant import Meant

NEAR = 20
"""Rows before the end of what is loaded at which more are asked for."""
MOST_MARKS = 1_000
"""Jobs of one act."""


class Table(Meant, can_focus=True):
    """Draws the rows that fit, one line each below the titles."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,ctrl+p", "move(-1)", show=False),
        Binding("down,ctrl+n", "move(1)", show=False),
        Binding("pageup", "move_page(-1)", show=False),
        Binding("pagedown", "move_page(1)", show=False),
        Binding("shift+up", "extend(-1)", show=False),
        Binding("shift+down", "extend(1)", show=False),
        Binding("home", "jump(-1)", show=False),
        Binding("end", "jump(1)", show=False),
        Binding("space", "mark", show=False),
        Binding("asterisk", "mark_all", show=False),
        Binding("c", "clear_marks", show=False),
        Binding("enter", "choose", show=False),
    ]

    @dataclass
    class AllWanted(Message):
        """All that match are to be marked, of a list that holds a page of them."""

    def __init__(
        self,
        look: Look,
        *,
        id: str | None = None,
        can_mark: bool = False,
        drifts: bool = False,
        paged: bool = False,
        turns: bool = False,
        drawn: Callable[[], None] | None = None,
    ) -> None:
        """`drifts`: until a key moves the cursor it is on the first row, whichever that is; for lists without acts.

        `paged`: rows that are not in the list are elsewhere, so their marks stay. `turns`: its owner turns over to a
        far page that is wanted; a picture before that one would cost time. `drawn`: called whenever other rows
        are in view, by whoever says above the list which they are.
        """
        super().__init__(look, id=id)
        self._drifts = drifts
        self._paged = paged
        self._turns = turns
        self._drawn = drawn
        self._covered = False
        """Something else is shown instead of the rows."""
        self._anchor: RowId | None = None
        """Where a range of marks began."""
        self._unranged: frozenset[RowId] = frozenset()
        """What was marked before it."""
        self._moved = False
        self._reopened = False
        """Its view was at the top when it was left: the next list is shown from its top."""
        self.pushed = 0
        """Rows that came above a view that was at the top, and are not seen."""
        self.listing = Listing(columns=())
        self.can_mark = can_mark
        self.cursor: RowId | None = None
        self.marks: frozenset[RowId] = frozenset()
        self.gone: frozenset[RowId] = frozenset()
        self._rows: tuple[Row, ...] = ()
        self._top = 0
        self._at_end = False
        self._total: int | None = None

    # --- what is asked of it --------------------------------------------------------------------------------------

    def show(self, listing: Listing, *, total: int | None = None) -> None:
        """Take a new list; the row under the cursor stays where it is, and is shown as gone when it is not in it."""
        self._covered = False
        meant = self._under_cursor()
        if self._drifts and not self._moved:
            self.cursor = None
        before = self._index()
        ids = {row.id for row in listing.rows}
        rows = list(listing.rows)
        ghost = self._rows[before] if before is not None and self.cursor not in ids else None
        if ghost is not None:
            rows.insert(self._ghost_place(ghost, rows), ghost)
        self.gone = frozenset({ghost.id}) if ghost is not None else frozenset()
        if not self._paged:
            self._keep(self.marks & (ids | self.gone))
        self.listing, self._rows, self._total = listing, tuple(rows), total
        if self.cursor is None and rows:
            self.cursor = rows[-1 if self._at_end else 0].id
            self._at_end = False
        after = self._index()
        if before is not None and after is not None:
            self.pushed += max(0, after - before) if self._top == self.pushed else 0
            self._top += after - before
        if self._reopened:
            self._top, self._reopened = 0, False
        if self._under_cursor() not in (None, meant):
            self._unseen = True
        self.redraw()

    def forget(self, *, at_end: bool = False) -> None:
        """Start anew with the next list: another database, where no id means what it meant, or a far page."""
        self.marks = frozenset()
        self.turn_over(at_end=at_end)
        self.redraw()

    def turn_over(self, *, at_end: bool = False) -> None:
        """The next list is another part of this: marks stay, and until it comes no key means what is still shown."""
        self.cursor, self.gone, self._rows, self._top, self._anchor = None, frozenset(), (), 0, None
        self._at_end, self._moved, self._reopened, self.pushed = at_end, False, False, 0

    @property
    def unmeant(self) -> str:
        """Why a key means none of the rows that are listed; empty when it means one, or none is listed."""
        if self._covered or not self.listing.columns:
            return "the list was not read yet: press again"
        if self.cursor in self.gone:
            return "the row under the cursor is gone: arrows choose another"
        return "" if self.was_shown or not self._rows else "the list had just changed: look, and press again"

    def mark(self, ids: Iterable[RowId]) -> None:
        """Mark these and no others."""
        self._marked(frozenset(ids))
        self._unseen = True
        self.redraw()

    def markable(self, id: RowId) -> bool:  # noqa: ARG002 - lists with rows of several kinds look at it
        """Whether a range marks it."""
        return True

    def in_view(self) -> tuple[int, int]:
        """Places of the first row that is seen and of the one behind the last, among those of the list."""
        return self._top, min(len(self._rows), self._top + self._room())

    def chosen(self) -> tuple[RowId, ...]:
        """The marked rows in their order, or else the row under the cursor; none that is gone or was not shown.

        Of a paged list the marked rows of other pages come last.
        """
        if not self.was_shown:
            return ()
        here = {row.id for row in self._rows}
        ids = tuple(row.id for row in self._rows if row.id in self.marks and row.id not in self.gone)
        ids += tuple(sorted((id for id in self.marks if id not in here), key=str)) if self._paged else ()
        return ids if ids or self.target is None else (self.target,)

    @property
    def target(self) -> RowId | None:
        """The row under the cursor; None where it is gone, and before it was shown."""
        return self._under_cursor() if self.was_shown else None

    def go_to(self, id: RowId) -> None:
        """Put the cursor on a row."""
        self.cursor, self._unseen = id, True
        self.redraw()

    def reopen(self) -> None:
        """It was left and is shown again: at its top, if that is where it was, and not where newer rows pushed it.

        The cursor stays on its row if a hand put it there.
        """
        self._reopened = self._top == self.pushed and not self.listing.more_above
        if self._reopened and not self._moved:
            self.cursor = None
        self.unsee()

    def cover(self, text: Line) -> None:
        """Show this instead of the rows, none of which any key means now."""
        self._unseen, self._telling, self._covered = True, None, True
        self.show_lines((text,))

    def _under_cursor(self) -> RowId | None:
        return None if self.cursor in self.gone else self.cursor

    # --- keys -----------------------------------------------------------------------------------------------------

    def action_move(self, by: int) -> None:
        self._go((self._index() or 0) + by)

    def action_move_page(self, pages: int) -> None:
        self._go((self._index() or 0) + pages * max(1, self._room() - 1))

    def action_jump(self, to: int) -> None:
        far = self.listing.more_above if to < 0 else self.listing.more_below
        if far:
            self.post_message(PageWanted("newest" if to < 0 else "oldest"))
        if not (far and self._turns):
            self._go(0 if to < 0 else len(self._rows) - 1, ask=False)

    def action_mark(self) -> None:
        if not self.can_mark or self.cursor is None or self.cursor in self.gone:
            return
        if self.cursor not in self.marks and not self._has_room(1):
            return
        self.marks ^= {self.cursor}
        self._go((self._index() or 0) + 1)

    def action_extend(self, by: int) -> None:
        """Move and mark every row from where the first of these keys was pressed to the cursor."""
        if not self.can_mark or self.cursor is None or self.cursor in self.gone:
            self.action_move(by)
            return
        if self._anchor is None:
            self._anchor, self._unranged = self.cursor, self.marks
        self._go((self._index() or 0) + by, keep_anchor=True)
        places = {row.id: place_of for place_of, row in enumerate(self._rows)}
        if self._anchor in places and self.cursor in places:
            low, high = sorted((places[self._anchor], places[self.cursor]))
            ids = {row.id for row in self._rows[low : high + 1] if self.markable(row.id)} - self.gone
            marks = self._unranged | ids
        else:
            marks = self.marks | (
                {self.cursor} if self.cursor is not None else set()
            )  # the range began on a page that is not loaded any more
        if len(marks) <= len(self.marks) or self._has_room(len(marks) - len(self.marks)):
            self.marks = marks
        self.redraw()

    def _has_room(self, more: int) -> bool:
        if len(self.marks) + more <= MOST_MARKS:
            return True
        self.post_message(Flash(f"at most {count(MOST_MARKS)} are marked at once; c clears them"))
        return False

    def action_mark_all(self) -> None:
        if self.can_mark and self._paged:
            self.post_message(self.AllWanted())
        elif self.can_mark:
            self.marks = frozenset(row.id for row in self._rows) - self.gone
            self.post_message(Flash(f"{count(len(self.marks))} marked; those that come later are not among them"))
            self.redraw()

    def action_clear_marks(self) -> None:
        self._marked(frozenset())
        self.redraw()

    def _marked(self, ids: frozenset[RowId]) -> None:
        self.marks, self._anchor = ids, None

    def action_choose(self) -> None:
        if self.cursor is None:
            if self.unmeant:
                self.post_message(Flash(self.unmeant))
            return
        self._moved = self._moved or not self._drifts  # who comes back from it looks for it
        if self.cursor in self.gone:
            self.post_message(Flash("that row is gone"))
        else:
            self.post_message(RowChosen(self.cursor))

    # --- drawing --------------------------------------------------------------------------------------------------

    def redraw(self) -> None:
        """Draw what is in view."""
        width, room = self.size.width, self._room()
        self._telling = None
        if width <= 0 or not self.listing.columns:
            return
        self._settle(room)
        placed = place(self.listing.columns, width - 1)
        rows = self._rows[self._top : self._top + room]
        alike = told_by_their_end(rows, placed, self.look)
        position = () if self._drawn is not None or not self._rows else self._position()
        titles = fit(head_line(placed, self.look), width - (width_of(position) + 2 if position else 0), self.look)
        lines: list[Line] = [spread(titles, position, width, self.look)]
        for row in rows:
            lines.append(
                row_line(
                    row,
                    placed,
                    self.look,
                    width=width,
                    cursor=row.id == self.cursor,
                    marked=row.id in self.marks,
                    gone=row.id in self.gone,
                    alike=alike,
                )
            )
        if not self._rows:
            lines.append(empty_line(self.listing))
        self.show_lines(tuple(lines))
        index = self._index()
        self._telling = 0 if index is None else 1 + index - self._top
        self._send_telling()
        if self._drawn is not None:
            self._drawn()

    def _keep(self, marks: frozenset[RowId]) -> None:
        """The other marks went by themselves; once all have, an act means the row under the cursor."""
        self._unseen = self._unseen or (not marks and bool(self.marks))
        self.marks = marks

    def on_resize(self) -> None:
        self.redraw()

    def _go(self, index: int, *, ask: bool = True, keep_anchor: bool = False) -> None:
        if not keep_anchor:
            self._anchor = None
        if not self._rows:
            return
        self._moved = True
        top = self._top
        index = max(0, min(len(self._rows) - 1, index))
        target = self._rows[index].id
        if self.cursor in self.gone and target != self.cursor:
            ghost = self.cursor
            self._rows = tuple(row for row in self._rows if row.id != ghost)
            self.gone = frozenset()
            self.marks -= {ghost} if ghost is not None else frozenset()
        self.cursor = target
        index = self._index() or 0
        room = self._room()
        self._top = min(max(self._top, index - room + 1), index)
        if self._top != top:
            self.pushed = 0
        if ask and index >= len(self._rows) - NEAR and self.listing.more_below:
            self.post_message(PageWanted("older"))
        elif ask and index < NEAR and self.listing.more_above:
            self.post_message(PageWanted("newer"))
        self.redraw()

    def _settle(self, room: int) -> None:
        """Keep the window inside the rows; when all of them fit, all of them are seen."""
        self._top = max(0, min(self._top, len(self._rows) - room))
        index = self._index()
        if index is not None and room > 0:
            self._top = min(max(self._top, index - room + 1), index)
        self.pushed = min(self.pushed, self._top)

    def _position(self) -> Line:
        first, behind = self.in_view()
        below = len(self._rows) - behind
        return place_line(self.listing, self.look, above=first, below=below, total=self._total, marked=len(self.marks))

    def _room(self) -> int:
        return max(0, self.size.height - 1)

    def _index(self) -> int | None:
        return next((index for index, row in enumerate(self._rows) if row.id == self.cursor), None)

    def _ghost_place(self, ghost: Row, rows: list[Row]) -> int:
        """Behind the nearest row that stood before it and is still there."""
        still = {row.id: index for index, row in enumerate(rows)}
        place_of = 0
        for row in self._rows:
            if row.id == ghost.id:
                break
            place_of = still[row.id] + 1 if row.id in still else place_of
        return place_of
