"""A list as columns: which columns there is room for, how wide each is, and the line of one row."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from console.clean import one_line
from console.format import count
from console.line import EMPTY, Line, Span, cell, cell_apart, fit, line
from console.look import Look, Role

RowId = int | str
"""What a row is, wherever it stands: acts name it, never a position."""

GAP = 2
MARGIN = 3
"""Cells before the first column: the cursor, the mark, a blank."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column."""

    title: str
    width: int
    """The least that is of use."""
    right: bool = False
    rank: int = 0
    """0 always stays; of the others the highest goes first when there is no room."""
    grow: int = 0
    """Its share of the room that is left."""
    most: int = 1_000
    """Where it stops growing."""
    middle: bool = False
    """What is too long is cut in its middle: names whose end tells them apart."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: a text and a role for each column."""

    id: RowId
    cells: tuple[tuple[str, Role], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A list to be shown."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...] = ()
    empty: str = "nothing"
    """What to say instead of rows."""
    more_above: bool = False
    """There are newer rows than these."""
    more_below: bool = False


@dataclass(frozen=True, slots=True)
class Placed:
    """A column that has room."""

    index: int
    width: int
    column: Column


def place(columns: Sequence[Column], width: int) -> tuple[Placed, ...]:
    """The columns that fit into `width` and the cells of each."""
    chosen = list(enumerate(columns))
    while len(chosen) > 1 and _needs(chosen) > width:
        least = max(chosen, key=lambda pair: pair[1].rank)
        if least[1].rank == 0:
            break
        chosen.remove(least)
    spare = max(0, width - _needs(chosen))
    widths = {index: column.width for index, column in chosen}
    growing = [(index, column) for index, column in chosen if column.grow]
    while spare and growing:
        shares = sum(column.grow for _, column in growing)
        given = 0
        for index, column in growing:
            more = min(max(1, spare * column.grow // shares), column.most - widths[index], spare - given)
            widths[index] += more
            given += more
        growing = [(index, column) for index, column in growing if widths[index] < column.most]
        spare -= given
    return tuple(Placed(index, widths[index], column) for index, column in chosen)


def _needs(chosen: Sequence[tuple[int, Column]]) -> int:
    return MARGIN + sum(column.width for _, column in chosen) + GAP * (len(chosen) - 1)


def head_line(placed: Sequence[Placed], look: Look) -> Line:
    """The titles."""
    titles = [cell(one.column.title, one.width, look, right=one.column.right) for one in placed]
    return (Span(" " * MARGIN + (" " * GAP).join(titles).rstrip(), Role.DIM),)


def place_line(listing: Listing, look: Look, *, above: int, below: int, total: int | None, marked: int) -> Line:
    """How many rows are marked and how many lie out of sight; `+`: and more that are not loaded."""
    pieces: list[str | tuple[str, Role]] = []
    if marked:
        pieces.append((f" {count(marked)} marked", Role.ACCENT))
    for arrow, rows, more in ((look.up, above, listing.more_above), (look.down, below, listing.more_below)):
        if rows or more:
            pieces.append((f" {arrow}{rows or ''}{'+' if more else ''}", Role.DIM))
    if listing.more_below and total is not None:
        pieces.append((f" of {count(total)}", Role.DIM))
    return line(*pieces)


def row_line(
    row: Row,
    placed: Sequence[Placed],
    look: Look,
    *,
    width: int,
    cursor: bool = False,
    marked: bool = False,
    gone: bool = False,
    alike: AbstractSet[tuple[int, str]] = frozenset(),
) -> Line:
    """One row, filled to `width`. A row under the cursor is told by its sign first and its role second.

    `alike`: of `told_by_their_end`.
    """
    signs = f"{look.at if cursor else ' '}{look.mark if marked else ' '} "
    spans = [Span(signs, Role.CURSOR if cursor else Role.ACCENT)]
    for place_of, one in enumerate(placed):
        text, role = row.cells[one.index]
        if gone and not place_of:
            text = f"gone {text}"
        if one.column.middle or (one.index, text) in alike:
            shown = cell_apart(one_line(text), one.width, look)
        else:
            shown = cell(one_line(text), one.width, look, right=one.column.right)
        if place_of:
            spans.append(Span(" " * GAP, Role.CURSOR if cursor else Role.PLAIN))
        spans.append(Span(shown, Role.GONE if gone else Role.CURSOR if cursor else role))
    cut = fit(tuple(spans), width, look)
    blanks = width - sum(len(span.text) for span in cut)
    return (*cut, Span(" " * blanks, Role.CURSOR)) if cursor and blanks > 0 else cut


def told_by_their_end(rows: Sequence[Row], placed: Sequence[Placed], look: Look) -> frozenset[tuple[int, str]]:
    """Column and text of those that differ, and would not be seen to once their ends were cut off."""
    found: set[tuple[int, str]] = set()
    for one in placed:
        if one.column.right or one.column.middle:
            continue
        cut: dict[str, set[str]] = {}
        for row in rows:
            text = row.cells[one.index][0]
            if len(text) > one.width // 2:  # most are shorter, and a wide letter takes two cells
                cut.setdefault(cell(one_line(text), one.width, look), set()).add(text)
        found.update((one.index, text) for texts in cut.values() if len(texts) > 1 for text in texts)
    return frozenset(found)


def empty_line(listing: Listing) -> Line:
    """What stands where the rows would."""
    return (Span(" " * MARGIN + listing.empty, Role.DIM),) if listing.empty else EMPTY
