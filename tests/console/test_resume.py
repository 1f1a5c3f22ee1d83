"""`u` always asks, and only `y` answers."""

from __future__ import annotations

import sqlite3

import pytest

from console.screens.question import Question
from console.tui import ConsoleApp
from runner.home import Home
from runner.store import controls
from runner.store.db import Database
from runner.units import UnixMs
from tests.console.conftest import ManualMonotonic
from tests.console.screen import flash_of, look, shows, text_of, until
from tests.factories import NOW, ManualClock, make_breaker, make_charge, make_job, make_running

pytestmark = pytest.mark.usefixtures("live")


@pytest.fixture
def stopped(home: Home, db: sqlite3.Connection) -> None:
    """A stop somebody set, that the runner has answered."""
    row = controls.set_stop(db, controls.STOP, reason="lunch", by="ada@cli", now=UnixMs(NOW))
    db.execute("UPDATE runners SET state = 'parked', stop_seq = ?", (row.seq,))
    home.stop.touch()


def is_stopped(home: Home, db: sqlite3.Connection) -> bool:
    return home.stop_set() or controls.stop_row(db).is_set


async def test_nothing_is_asked_when_nothing_is_stopped(app: ConsoleApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("u")
        await pilot.pause()

        assert flash_of(app) == "nothing is stopped: there is nothing to resume"
        assert app.screen is app.board


@pytest.mark.usefixtures("stopped")
async def test_the_question_names_who_stopped_what_starts_and_what_it_may_cost(
    app: ConsoleApp, db: sqlite3.Connection
) -> None:
    for _ in range(3):
        make_job(db)
    make_charge(db, make_running(db), cost=4_000_000)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("u")
        await shows(pilot, "Resume the runner?")

        text = text_of(app)
        assert "17:46:40Z by ada@cli" in text
        assert "lunch" in text
        assert "3 queued jobs" in text
        assert "$6.00 left today of $10.00" in text
        assert "(default)" in text


@pytest.mark.usefixtures("stopped")
@pytest.mark.parametrize("key", ["enter", "n", "q", "escape", "space", "u", "r"])
async def test_no_key_but_y_resumes(
    app: ConsoleApp, home: Home, db: sqlite3.Connection, monotonic: ManualMonotonic, key: str
) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("u")
        monotonic.advance(1)
        await pilot.press(key)
        await look(pilot)

        assert is_stopped(home, db)
        assert flash_of(app) == ("left stopped" if key in ("n", "q", "escape") else "")


@pytest.mark.usefixtures("stopped")
async def test_y_clears_every_source(
    app: ConsoleApp, home: Home, db: sqlite3.Connection, monotonic: ManualMonotonic
) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("u")
        monotonic.advance(0.31)
        await pilot.press("y")
        await shows(pilot, "resumed", "STOP not set")

        assert not is_stopped(home, db)


@pytest.mark.usefixtures("stopped")
async def test_keys_that_were_meant_for_the_screen_before_are_dropped(
    app: ConsoleApp, home: Home, db: sqlite3.Connection, monotonic: ManualMonotonic
) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("u")
        monotonic.advance(0.29)
        await pilot.press("y")
        await look(pilot)

        assert isinstance(app.screen, Question)
        assert is_stopped(home, db)


@pytest.mark.usefixtures("stopped")
@pytest.mark.parametrize("danger", ["breaker", "cap", "silent", "unreadable"])
async def test_where_it_is_doubtful_the_word_must_be_typed(
    app: ConsoleApp, home: Home, db: sqlite3.Connection, monotonic: ManualMonotonic, danger: str
) -> None:
    if danger == "breaker":
        make_breaker(db)
    elif danger == "cap":
        make_charge(db, make_running(db), cost=10_000_000)
    elif danger == "silent":
        assert isinstance(app.clock, ManualClock)
        app.clock.advance(60_000)
    else:
        home.db.rename(home.root / "elsewhere")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("u")
        await shows(pilot, "Type resume:", "careful" if danger != "unreadable" else "cannot be read")
        monotonic.advance(1)
        await pilot.press("y")
        await look(pilot)
        assert isinstance(app.screen, Question)

        await pilot.press(*"resx", *"resume")
        await shows(pilot, "y resume")
        assert is_stopped(home, db)
        await pilot.press("y")
        if danger == "unreadable":
            await shows(pilot, "still stopped by row: ")
            assert not home.stop_set()
        else:
            await until(pilot, lambda: not is_stopped(home, db))


@pytest.mark.usefixtures("stopped")
async def test_while_the_database_cannot_be_read_nothing_old_is_said_of_it(app: ConsoleApp, home: Home) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "STOP SENT")
        home.db.rename(home.root / "aside")
        await shows(pilot, "DATABASE MISSING")
        await pilot.press("k")
        await shows(pilot, "STOP IS SET  by the STOP file")
        await pilot.press("u")
        await shows(pilot, "what would start is not known", "by the STOP file")
        assert "no longer set" not in text_of(app)


@pytest.mark.usefixtures("stopped")
async def test_a_source_that_cannot_be_cleared_from_here_is_named(
    app: ConsoleApp, db: sqlite3.Connection, monotonic: ManualMonotonic
) -> None:
    controls.put_settings(db, {"stop_env": "1", "daily_usd": "10000000", "timezone": "UTC"}, now=UnixMs(NOW))
    async with app.run_test(size=(140, 24)) as pilot:
        await pilot.press("u")
        monotonic.advance(1)
        await pilot.press("y")
        await shows(pilot, "still stopped by env: AFK_STOP is set in the runner's environment")


@pytest.mark.usefixtures("stopped")
async def test_another_database_takes_the_question_away(app: ConsoleApp, home: Home, clock: ManualClock) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("u")
        await shows(pilot, "Resume the runner?")
        home.db.rename(home.root / "elsewhere")
        await look(pilot)
        other = Database.open(home.db, create=True)
        other.close()
        clock.advance(1_000)
        await until(pilot, lambda: app.screen is app.board)


@pytest.mark.usefixtures("stopped")
async def test_a_doubt_that_comes_up_while_it_is_asked_wants_the_word_too(
    app: ConsoleApp, home: Home, db: sqlite3.Connection, monotonic: ManualMonotonic
) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("u")
        await shows(pilot, "y resume")
        monotonic.advance(1)
        make_breaker(db)
        await shows(pilot, "Type resume:")
        await pilot.press("y")
        await look(pilot)

        assert is_stopped(home, db)


@pytest.mark.usefixtures("stopped")
async def test_the_way_out_is_seen_on_the_smallest_screen(app: ConsoleApp, db: sqlite3.Connection) -> None:
    for name in ("a/one", "b/two", "c/three"):
        make_breaker(db, name)
    make_charge(db, make_running(db), cost=10_000_000)
    assert isinstance(app.clock, ManualClock)
    app.clock.advance(60_000)
    async with app.run_test(size=(60, 16)) as pilot:
        await pilot.press("u")
        await shows(pilot, "Resume the runner?", "careful  the runner is silent", "Type resume:", "(default)")
