"""The list: its cursor and marks belong to ids, and it draws what fits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from console.line import line, plain
from console.look import ASCII, Role
from console.messages import PageWanted, RowChosen
from console.output import ThriftyApp
from console.views.table import Column, Listing, Row, RowId, place, row_line, told_by_their_end
from console.widgets.table import Table

COLUMNS = (Column(title="job", width=6, grow=1), Column(title="note", width=8, rank=1))


def listing(*ids: RowId, above: bool = False, below: bool = False) -> Listing:
    rows = tuple(Row(id, ((f"job {id}", Role.PLAIN), ("note", Role.DIM))) for id in ids)
    return Listing(columns=COLUMNS, rows=rows, empty="none here", more_above=above, more_below=below)


class Harness(ThriftyApp[None]):
    """A table of five rows' height, and what it says."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("r", "act")]

    def __init__(self, *, paged: bool = False) -> None:
        super().__init__(ansi_color=True)
        self.table = Table(ASCII, can_mark=True, paged=paged)
        self.said: list[RowChosen | PageWanted] = []
        self.acted: list[tuple[RowId, ...]] = []

    def action_act(self) -> None:
        self.acted.append(self.table.chosen())

    def compose(self) -> ComposeResult:
        yield self.table

    def on_row_chosen(self, message: RowChosen) -> None:
        self.said.append(message)

    def on_page_wanted(self, message: PageWanted) -> None:
        self.said.append(message)


@asynccontextmanager
async def table_of(*ids: RowId) -> AsyncIterator[tuple[Table, Harness, object]]:
    harness = Harness()
    async with harness.run_test(size=(30, 6)) as pilot:
        harness.table.show(listing(*ids))
        harness.table.focus()
        yield harness.table, harness, pilot


def shown(table: Table) -> list[str]:
    return [plain(line).rstrip() for line in table.lines[1:]]


def cursor_line(table: Table) -> int:
    return next(number for number, line in enumerate(shown(table)) if line.startswith(">"))


async def test_an_empty_list_says_what_is_not_there() -> None:
    async with table_of() as (table, harness, pilot):
        await pilot.press("down", "enter", "space", "end")

        assert shown(table) == ["   none here"]
        assert harness.said == []


async def test_nothing_is_chosen_before_it_was_drawn() -> None:
    """A key that was on its way when another page came was meant for none of its rows."""
    async with table_of(5, 4, 3) as (table, _, pilot):
        await pilot.pause()
        assert table.chosen() == (5,)

        table.turn_over()
        table.show(listing(9, 8, 7))
        on_its_way = table.chosen()
        await pilot.pause()

        assert on_its_way == ()
        assert table.chosen() == (9,)


async def test_a_key_that_came_before_the_picture_means_nothing_in_it_however_late_it_is_obeyed() -> None:
    async with table_of(5, 4, 3) as (table, harness, pilot):
        await pilot.pause()
        await pilot.press("r")
        table.turn_over()
        pressed_before = events.Key("r", "r")
        table.show(listing(9, 8, 7))
        await pilot.pause()
        harness.post_message(pressed_before)
        await pilot.press("r")

        assert harness.acted == [(5,), (), (9,)]


async def test_a_key_for_marks_that_went_meanwhile_is_not_for_the_row_under_the_cursor() -> None:
    async with table_of(5, 4, 3) as (table, harness, pilot):
        await pilot.press("space")
        await pilot.pause()
        pressed_before = events.Key("r", "r")
        table.show(listing(4, 3))
        on_its_way = table.chosen()
        await pilot.pause()
        harness.post_message(pressed_before)
        await pilot.press("r")

        assert on_its_way == ()
        assert harness.acted == [(), (4,)]


async def test_a_row_that_comes_back_is_chosen_once_it_was_shown_to_be_back() -> None:
    async with table_of(5, 4, 3) as (table, _, pilot):
        await pilot.pause()
        table.show(listing(4, 3))
        await pilot.pause()
        table.show(listing(5, 4, 3))
        on_its_way = table.chosen()
        await pilot.pause()

        assert on_its_way == ()
        assert table.chosen() == (5,)


async def test_what_covers_the_rows_leaves_none_to_choose() -> None:
    async with table_of(5, 4, 3) as (table, _, pilot):
        await pilot.pause()
        table.cover(line("   not read"))
        await pilot.pause()
        covered = table.chosen()
        table.show(listing(5, 4, 3))
        await pilot.pause()

        assert covered == ()
        assert table.chosen() == (5,)


async def test_a_picture_that_was_dropped_has_shown_nothing() -> None:
    """Until the terminal has caught up."""
    async with table_of(5, 4, 3) as (table, harness, pilot):
        await pilot.pause()
        harness._behind = True
        table.turn_over()
        table.show(listing(9, 8, 7))
        await pilot.pause()
        dropped = table.chosen()
        harness._catch_up()
        await pilot.pause()

        assert dropped == ()
        assert table.chosen() == (9,)


async def test_the_cursor_stays_on_its_row_when_others_come_and_go() -> None:
    async with table_of(5, 4, 3, 2) as (table, _, pilot):
        await pilot.press("down")
        table.show(listing(7, 6, 5, 4, 3))

        assert table.cursor == 4
        table.show(listing(4))
        assert table.cursor == 4


async def test_the_row_of_the_cursor_keeps_its_line_while_the_list_is_longer_than_the_box() -> None:
    async with table_of(*range(20, 0, -1)) as (table, _, pilot):
        await pilot.press("down", "down")
        before = cursor_line(table)
        table.show(listing(*range(25, 0, -1)))

        assert cursor_line(table) == before
        assert plain(table.lines[0]).endswith(" ^5 v15")


async def test_a_list_that_was_at_its_top_is_at_its_top_again() -> None:
    """What came meanwhile is seen; a cursor that no key has moved goes along."""
    async with table_of(*range(20, 0, -1)) as (table, _, _):
        table.show(listing(*range(31, 0, -1)))
        assert (table.pushed, table.cursor) == (11, 20)
        table.reopen()
        table.show(listing(*range(33, 0, -1)))

        assert shown(table)[0].startswith(">  job 33")
        assert table.pushed == 0


async def test_a_row_that_was_chosen_keeps_the_cursor_when_its_list_is_opened_again() -> None:
    async with table_of(*range(20, 0, -1)) as (table, _, pilot):
        await pilot.press("enter")
        table.show(listing(*range(22, 0, -1)))
        table.reopen()
        table.show(listing(*range(23, 0, -1)))

        assert [line[:9].rstrip() for line in shown(table)[:4]] == ["   job 23", "   job 22", "   job 21", ">  job 20"]
        table.show(listing(*range(40, 0, -1)))
        assert cursor_line(table) == 3
        assert table.pushed == 17
        await pilot.press("home")
        assert table.pushed == 0


async def test_a_list_that_was_scrolled_is_where_it_was() -> None:
    async with table_of(*range(20, 0, -1)) as (table, _, pilot):
        await pilot.press("pagedown", "pagedown")
        before = shown(table)
        table.reopen()
        table.show(listing(*range(23, 0, -1)))

        assert shown(table) == before
        assert table.pushed == 0


def test_texts_that_only_their_ends_tell_apart_are_cut_in_the_middle() -> None:
    columns = (Column(title="error", width=10),)
    texts = ("upstream answered 504", "upstream answered 529", "timeout after a minute", "no")
    rows = [Row(text, ((text, Role.PLAIN),)) for text in texts]
    placed = place(columns, 13)
    alike = told_by_their_end(rows, placed, ASCII)

    lines = [plain(row_line(row, placed, ASCII, width=20, alike=alike)).strip() for row in rows]
    assert lines == ["upst~d 504", "upst~d 529", "timeout a~", "no"]


async def test_a_list_that_fits_is_seen_whole() -> None:
    async with table_of(2, 1) as (table, _, _):
        table.show(listing(4, 3, 2, 1))

        assert [line[3:8] for line in shown(table)] == ["job 4", "job 3", "job 2", "job 1"]
        assert table.cursor == 2


async def test_a_row_that_vanished_is_gone_until_the_cursor_leaves_it() -> None:
    async with table_of(5, 4, 3, 2) as (table, harness, pilot):
        await pilot.press("down", "space", "up")
        assert table.marks == {4}
        table.show(listing(6, 5, 3, 2))

        assert [line.split("  note")[0].rstrip() for line in shown(table)] == [
            *("   job 6", "   job 5", ">x gone job 4", "   job 3", "   job 2")
        ]
        assert table.chosen() == ()
        await pilot.press("enter")
        assert harness.said == []
        await pilot.press("down")
        assert table.cursor == 3
        assert "gone" not in "".join(shown(table))
        assert table.marks == frozenset()


async def test_marks_are_ids_in_the_order_of_the_list() -> None:
    async with table_of(5, 4, 3) as (table, _, pilot):
        await pilot.press("down", "space", "up", "up", "space")
        assert table.chosen() == (5, 4)

        table.show(listing(9, 5, 3))
        assert table.chosen() == (5,)
        await pilot.press("asterisk")
        table.show(listing(10, 9, 5, 3))
        assert table.chosen() == (9, 5, 3)
        await pilot.press("c", "down")
        assert table.chosen() == (3,)


async def test_a_range_grows_and_shrinks_and_leaves_older_marks() -> None:
    async with table_of(*range(9, 0, -1)) as (table, _, pilot):
        await pilot.press("space", "down", "shift+down", "shift+down")
        assert table.chosen() == (9, 7, 6, 5)
        await pilot.press("shift+up", "shift+up", "shift+up")
        assert table.chosen() == (9, 8, 7)
        assert table.cursor == 8
        await pilot.press("down", "down", "shift+down")
        assert table.chosen() == (9, 8, 7, 6, 5)


async def test_a_range_has_no_row_that_is_gone() -> None:
    async with table_of(5, 4, 3, 2) as (table, _, pilot):
        await pilot.press("down")
        table.show(listing(5, 3, 2))
        await pilot.press("shift+down", "shift+down")
        assert table.chosen() == (3, 2)


async def test_marks_of_a_paged_list_outlive_its_pages() -> None:
    harness = Harness(paged=True)
    table = harness.table
    async with harness.run_test(size=(30, 6)) as pilot:
        table.show(listing(9, 8, 7))
        table.focus()
        await pilot.press("space", "shift+down")
        table.turn_over()
        table.show(listing(3, 2, 1))
        await pilot.press("space")
        await pilot.pause()

        assert table.chosen() == (3, 7, 8, 9)
        table.show(listing(2, 1))
        assert table.chosen() == (3, 7, 8, 9), "it is on another page as far as the list knows"


async def test_pages_and_ends_are_reached() -> None:
    async with table_of(*range(50, 0, -1)) as (table, _, pilot):
        await pilot.press("end")
        assert table.cursor == 1
        await pilot.press("pageup")
        assert table.cursor == 5
        await pilot.press("home", "pagedown")
        assert table.cursor == 46
        assert len(shown(table)) == 5


async def test_more_is_asked_for_near_the_ends_of_what_is_loaded() -> None:
    async with table_of() as (table, harness, pilot):
        table.show(listing(*range(50, 0, -1), above=True, below=True))
        await pilot.press("pagedown", "home", "end")

        assert [message.to for message in harness.said if isinstance(message, PageWanted)] == [
            *("newer", "newest", "oldest")
        ]


async def test_enter_names_the_id() -> None:
    async with table_of("digest", "triage") as (_, harness, pilot):
        await pilot.press("down", "enter")

        assert [message.id for message in harness.said if isinstance(message, RowChosen)] == ["triage"]


def test_columns_give_way_by_rank_and_share_what_is_left() -> None:
    columns = (
        Column(title="a", width=5, grow=1, most=7),
        Column(title="b", width=5, rank=2),
        Column(title="c", width=5, rank=1, grow=1),
    )

    assert [(one.index, one.width) for one in place(columns, 40)] == [(0, 7), (1, 5), (2, 21)]
    assert [one.index for one in place(columns, 18)] == [0, 2]
    assert [one.index for one in place(columns, 9)] == [0]
