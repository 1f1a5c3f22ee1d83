"""On a wide screen an open job stands beside its list; keys mean the job, and the list goes on."""

from __future__ import annotations

import sqlite3

import pytest

from console.screens.cancel import CancelQuestion
from console.tui import ConsoleApp
from runner.snapshot import JobStatus
from tests.console.screen import lacks, lines_of, look, shows, until
from tests.factories import make_job

pytestmark = pytest.mark.usefixtures("live")


def columns(app: ConsoleApp) -> tuple[list[str], list[str]]:
    """What the body shows left and right of the line between."""
    cut = [one.split("│") for one in lines_of(app)[5:-2]]
    assert all(len(sides) == 2 for sides in cut), cut
    return [left.rstrip() for left, _ in cut], [right.strip() for _, right in cut]


async def test_a_job_stands_beside_its_list_where_there_is_room(app: ConsoleApp, db: sqlite3.Connection) -> None:
    for number in range(3):
        make_job(db, key=f"waits-{number}", payload={"box": number})
    async with app.run_test(size=(120, 30)) as pilot:
        await pilot.press("2")
        await shows(pilot, ">  waits-2")
        await pilot.press("down", "enter")
        await shows(pilot, "waits-1  digest  PENDING", "PAYLOAD")
        left, right = columns(app)
        assert [row[:10].strip() for row in left[2:5]] == ["waits-2", ">  waits-1", "waits-0"]
        assert "waits-1" in right[0]
        assert len({line.index("│") for line in lines_of(app)[5:-2]}) == 1

        await pilot.resize_terminal(119, 30)
        await lacks(pilot, "waits-2")
        await pilot.resize_terminal(120, 30)
        await shows(pilot, "waits-2", "PAYLOAD")
        await pilot.press("q")
        await lacks(pilot, "PAYLOAD")
        assert app.board.pane.targets()[0].key == "waits-1"


async def test_the_list_goes_on_and_keys_mean_the_open_job(app: ConsoleApp, db: sqlite3.Connection) -> None:
    make_job(db, key="older", status=JobStatus.DEAD)
    make_job(db, key="newer", status=JobStatus.DEAD)
    async with app.run_test(size=(120, 24)) as pilot:
        await pilot.press("3")
        await shows(pilot, ">  - ")
        await pilot.press("down", "enter")
        await shows(pilot, "newer  digest  DEAD")
        make_job(db, key="newest", status=JobStatus.DEAD, error="another")
        await look(pilot)
        left, right = columns(app)
        assert any("newest" in row for row in left)
        assert "newer" in right[0]
        app.board.panes[app.board._trail[-1]].query_one("#dead-list").focus()
        await until(pilot, lambda: app.focused is not None and app.focused.id == "job-text")
        assert [job.key for job in app.board.targets()] == ["newer"]


async def test_a_question_about_the_open_job_is_asked_over_both(app: ConsoleApp, db: sqlite3.Connection) -> None:
    make_job(db, key="first")
    make_job(db, key="second")
    async with app.run_test(size=(140, 30)) as pilot:
        await pilot.press("2")
        await shows(pilot, ">  second")
        await pilot.press("down", "enter")
        await shows(pilot, "first  digest  PENDING")
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, CancelQuestion))
        await shows(pilot, "Cancel first?")
