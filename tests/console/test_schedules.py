"""Schedules: paused with a reason, unpaused and fired with one key, all of it by name."""

from __future__ import annotations

import sqlite3

import pytest

from console.tui import ConsoleApp, Options
from runner.home import Home
from runner.store import controls
from tests.console.conftest import ManualMonotonic
from tests.console.screen import flash_of, look, shows, until
from tests.factories import NOW, ManualClock, make_schedule

pytestmark = pytest.mark.usefixtures("live")


@pytest.fixture(autouse=True)
def declared(db: sqlite3.Connection) -> None:
    make_schedule(db, "digest")
    make_schedule(db, "triage", spec="every 1h UTC", last_slot=NOW - 3_600_000, skipped="the machine slept")


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (120, 40)], ids=lambda size: f"{size[0]}x{size[1]}")
async def test_a_pause_has_a_reason_and_is_lifted_by_the_same_key(
    app: ConsoleApp, db: sqlite3.Connection, monotonic: ManualMonotonic, size: tuple[int, int]
) -> None:
    async with app.run_test(size=size) as pilot:
        await pilot.press("5")
        await shows(pilot, ">  digest", "skipped")
        await pilot.press("p")
        await shows(pilot, "Pause digest?")
        monotonic.advance(1)
        await pilot.press(*"feed down", "enter", "y")
        await shows(pilot, "digest paused", "paused: feed")
        assert controls.paused(db, "digest") is not None

        await pilot.press("p")
        await shows(pilot, "digest unpaused")
        assert controls.paused(db, "digest") is None


async def test_a_pause_needs_no_reason(app: ConsoleApp, db: sqlite3.Connection, monotonic: ManualMonotonic) -> None:
    """As at the shell: nothing is done that the same key does not undo."""
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("5")
        await shows(pilot, ">  digest")
        await pilot.press("p")
        await shows(pilot, "Pause digest?")
        monotonic.advance(1)
        await pilot.press("enter", "y")
        await shows(pilot, "digest paused")

    pause = controls.paused(db, "digest")
    assert pause is not None
    assert pause.reason == "asked by a person"


async def test_f_queues_one_job_now_and_no_second_while_that_is_not_over(
    app: ConsoleApp, db: sqlite3.Connection, clock: ManualClock
) -> None:
    async with app.run_test(size=(120, 24)) as pilot:
        await pilot.press("5")
        await shows(pilot, ">  digest")
        await pilot.press("down", "f")
        await until(pilot, lambda: "queued triage@fired-" in flash_of(app))
        clock.advance(5_000)
        await pilot.press("f")
        await until(pilot, lambda: "is still pending" in flash_of(app))

    assert db.execute("SELECT task, status FROM jobs").fetchall() == [("triage", "pending")]


async def test_a_paused_schedule_is_not_fired(app: ConsoleApp, db: sqlite3.Connection) -> None:
    controls.pause(db, name="digest", reason="feed down", by="ada@cli", now=app.clock.now())
    async with app.run_test(size=(100, 24)) as pilot:
        await pilot.press("5")
        await shows(pilot, "paused: feed down")
        await pilot.press("f")
        await until(pilot, lambda: "not done: digest is paused by ada@cli" in flash_of(app))

    assert db.execute("SELECT count(*) FROM jobs").fetchone() == (0,)


async def test_read_only_changes_no_schedule(
    home: Home, db: sqlite3.Connection, clock: ManualClock, monotonic: ManualMonotonic
) -> None:
    app = ConsoleApp(home, clock=clock, monotonic=monotonic, options=Options(readonly=True))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("5")
        await shows(pilot, ">  digest")
        await pilot.press("f")
        await shows(pilot, "f is off: started with --readonly")
        await pilot.press("p")
        await look(pilot)

    assert (db.execute("SELECT count(*) FROM jobs").fetchone(), controls.paused(db, "digest")) == ((0,), None)
