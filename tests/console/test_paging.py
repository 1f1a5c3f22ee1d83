"""The window over a list of any length."""

from __future__ import annotations

import pytest

from console.feed import Feed
from console.paging import Window
from console.panes.jobs import JobsAsk, JobsPane
from console.searching import JobsPage
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


def page(home: Home, clock: ManualClock, window: Window) -> JobsPage:
    seen = Feed(home).read(JobsAsk(window=window), now=clock.now())
    assert isinstance(seen.page, JobsPage)
    return seen.page


@pytest.mark.parametrize("oldest_first", [False, True])
def test_a_window_slides_over_everything_and_back(
    home: Home, clock: ManualClock, many: list[Job], oldest_first: bool
) -> None:
    order = many if oldest_first else many[::-1]
    window, met = Window(oldest_first=oldest_first), []
    for _ in range(10):
        found = page(home, clock, window)
        assert window.before == [job.id for job in order].index(found.jobs[0].id)
        met += [job.id for job in found.jobs if job.id not in met]
        if not window.below(more=found.more):
            break
        window = window.moved("older", found.jobs)
    assert met == [job.id for job in order]

    for _ in range(10):
        found = page(home, clock, window)
        if not window.above(more=found.more):
            break
        window = window.moved("newer", found.jobs)
    assert found.jobs[0].id == order[0].id

    window = window.moved("oldest", found.jobs)
    assert [job.id for job in page(home, clock, window).jobs] == [job.id for job in order[-PAGE:]]
    assert not window.below(more=True)


async def test_who_comes_back_to_the_top_sees_the_newest_though_pages_of_them_came(
    app: ConsoleApp, database: Database, many: list[Job]
) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2")
        await shows(pilot, many[-1].key)
        await pilot.press("1")
        with database.write() as db:
            newest = [make_job(db, key=f"newer-{number:04}") for number in range(PAGE + 20)][-1]
        await pilot.press("2")
        await shows(pilot, f">  {newest.key}", "rows 1-")


def test_half_of_the_rows_stay_when_it_slides(home: Home, clock: ManualClock, many: list[Job]) -> None:
    first = page(home, clock, Window()).jobs
    second = page(home, clock, Window().moved("older", first)).jobs

    assert [job.id for job in second[: PAGE // 2]] == [job.id for job in first[PAGE // 2 :]]


def test_a_row_pushed_out_by_newer_ones_is_not_taken_for_gone(home: Home, clock: ManualClock, many: list[Job]) -> None:
    shown = page(home, clock, Window()).jobs
    cursor = shown[5].id
    later = tuple(job for job in shown if job.id > cursor + 3)

    assert Window().keeping(cursor, later * PAGE, shown, more=True) == Window(upto=shown[0].id, before=None)
    assert Window().keeping(cursor, shown, shown, more=True) is None
    assert Window().keeping(cursor, later, shown, more=False) is None


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
        await until(pilot, lambda: pane._ask.window.upto is not None)
        await look(pilot)

        assert lines_of(app)[line].startswith(f">  {many[-2].key}")
