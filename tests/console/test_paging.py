"""The window over a list of any length."""

from __future__ import annotations

import sqlite3

import pytest

from console.feed import Feed
from console.paging import Window
from console.panes.jobs import JobsAsk, JobsPane
from console.seen import PAGE
from console.tui import ConsoleApp
from runner.home import Home
from runner.snapshot import Job
from runner.store.db import Database
from tests.console.screen import lines_of, look, shows, until
from tests.factories import ManualClock, make_job


@pytest.fixture
def many(database: Database) -> list[Job]:
    """Two and a half pages of jobs, the oldest first."""
    with database.write() as db:
        return [make_job(db, key=f"job-{number:04}") for number in range(PAGE * 5 // 2)]


def page(home: Home, clock: ManualClock, window: Window) -> tuple[Job, ...]:
    seen = Feed(home).read(JobsAsk(upto=window.upto, after=window.after), now=clock.now())
    assert isinstance(seen.page, tuple)
    return seen.page


def test_a_window_slides_over_everything_and_back(home: Home, clock: ManualClock, many: list[Job]) -> None:
    window, met = Window(), []
    for _ in range(10):
        rows = page(home, clock, window)
        met += [job.id for job in rows if job.id not in met]
        if not window.below(rows):
            break
        window = window.moved("older", rows)
    assert met == [job.id for job in reversed(many)]

    for _ in range(10):
        rows = page(home, clock, window)
        if not window.above(rows):
            break
        window = window.moved("newer", rows)
    assert rows[0].id == many[-1].id


def test_half_of_the_rows_stay_when_it_slides(home: Home, clock: ManualClock, many: list[Job]) -> None:
    first = page(home, clock, Window())
    second = page(home, clock, Window().moved("older", first))

    assert [job.id for job in second[: PAGE // 2]] == [job.id for job in first[PAGE // 2 :]]


def test_a_row_pushed_out_by_newer_ones_is_not_taken_for_gone(home: Home, clock: ManualClock, many: list[Job]) -> None:
    shown = page(home, clock, Window())
    cursor = shown[5].id
    later = tuple(job for job in shown if job.id > cursor + 3)

    kept = Window().keeping(cursor, later * PAGE, shown)

    assert kept == Window(upto=shown[0].id)
    assert Window().keeping(cursor, shown, shown) is None


async def test_keys_reach_both_ends_of_the_list(app: ConsoleApp, many: list[Job]) -> None:
    async with app.run_test(size=(80, 60)) as pilot:
        await pilot.press("2")
        await shows(pilot, f">  {many[-1].key}")
        for key, last in (("pagedown", many[0]), ("pageup", many[-1])):
            for _ in range(len(many) // 50 + 1):
                await pilot.press(key)
                await look(pilot)
            await shows(pilot, f">  {last.key}")
        await pilot.press("end")
        await shows(pilot, f">  {many[0].key}")
        await pilot.press("home")
        await shows(pilot, f">  {many[-1].key}")


async def test_a_flood_of_new_jobs_does_not_move_the_cursor(
    app: ConsoleApp, many: list[Job], database: Database
) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2")
        await shows(pilot, f">  {many[-1].key}")
        await pilot.press("down")
        line = next(n for n, text in enumerate(lines_of(app)) if text.startswith(">"))
        with database.write() as db:
            for _ in range(3 * PAGE):
                make_job(db)
        await look(pilot)
        pane = app.board.pane
        assert isinstance(pane, JobsPane)
        await until(pilot, lambda: pane._window.upto is not None)
        await look(pilot)

        assert lines_of(app)[line].startswith(f">  {many[-2].key}")


def test_a_page_is_found_by_its_index_however_deep(db: sqlite3.Connection) -> None:
    plan = db.execute(
        "EXPLAIN QUERY PLAN SELECT * FROM jobs WHERE TRUE AND id <= 5 ORDER BY id DESC LIMIT 9"
    ).fetchall()

    assert "SEARCH jobs USING INTEGER PRIMARY KEY" in plan[0][3]
    assert len(plan) == 1
