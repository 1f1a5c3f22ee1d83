"""The first picture loads what it shows; the rest comes while it is looked at."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from console.panes.shelf import KINDS
from console.seen import View
from console.tui import ConsoleApp, Options
from runner.errors import StoreMissing
from runner.home import Home
from runner.store import db as store
from runner.store.db import Database, schema_version
from tests.console.screen import shows, until
from tests.factories import ManualClock, make_event, make_running, new_database

LOOK = """
import json, sys
from pathlib import Path
from console import app
from console.tui import ConsoleApp
from runner.home import Home

tui = ConsoleApp(Home(Path(sys.argv[1])))
tui.board.seen = tui.feed.read(tui.board.ask, now=tui.clock.now())
assert tui.board.seen.page is not None, tui.board.seen.trouble
tui.feed.close()
json.dump(sorted(sys.modules), sys.stdout)
"""


WARM = """
import sys, threading
from pathlib import Path
from console.tui import ConsoleApp
from runner.home import Home

tui = ConsoleApp(Home(Path(sys.argv[1])))
assert "runner.commands" not in sys.modules
tui.acts.load()
for thread in threading.enumerate():
    if thread.name == "load":
        thread.join()
assert "runner.commands" in sys.modules
"""


@pytest.mark.usefixtures("live")
def test_the_write_door_is_loaded_before_it_is_needed(home: Home) -> None:
    """The first kill waits for nothing."""
    subprocess.run([sys.executable, "-c", WARM, home.root], cwd=Path(__file__).parents[2], check=True)


@pytest.mark.usefixtures("live")
def test_the_first_picture_loads_no_engine_and_nothing_of_other_panes(home: Home, db: sqlite3.Connection) -> None:
    make_running(db)
    done = subprocess.run(
        [sys.executable, "-c", LOOK, home.root],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(json.loads(done.stdout))

    strangers = {"anthropic", "apprise", "apscheduler", "cronsim", "genai_prices", "h11", "httpx", "pydantic", "typer"}
    assert not loaded & strangers
    assert {name for name in loaded if name.startswith("console.panes.")} == {
        "console.panes.home",
        "console.panes.pane",
        "console.panes.shelf",
    }
    assert {name for name in loaded if name.startswith("console.screens.")} == {
        "console.screens.board",
        "console.screens.question",
    }
    engine = (
        "runner.commands", "runner.config", "runner.settings", "runner.enqueue", "runner.gate", "runner.work",
        "runner.schedule", "runner.daemon", "runner.cli", "runner.snapshot.letters", "runner.snapshot.listing",
        "runner.snapshot.filter", "runner.snapshot.pace", "runner.report", "runner.price_age",
    )  # fmt: skip
    assert not {name for name in loaded if name.startswith(engine)}


@pytest.mark.usefixtures("live")
async def test_every_pane_is_made_while_the_first_picture_is_looked_at(app: ConsoleApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: set(app.board.panes) == set(View) == set(KINDS))

        assert app.board.view is View.HOME
        assert [pane for pane in app.board.panes.values() if pane.display] == [app.board.pane]


@pytest.mark.usefixtures("live")
async def test_a_pane_that_comes_later_knows_the_log_so_far(app: ConsoleApp, db: sqlite3.Connection) -> None:
    for number in range(3):
        make_event(db, f"step {number}")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("6")

        await shows(pilot, "step 0", "step 1", "step 2")


def opened(app: ConsoleApp) -> object:
    """The database behind the door of the kills."""
    door = app.acts.kills._door
    return door._database if door is not None else None


@pytest.mark.usefixtures("live")
async def test_the_door_of_the_kills_is_open_before_the_first_of_them(app: ConsoleApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: opened(app) is not None)


@pytest.mark.usefixtures("live")
async def test_a_database_that_is_gone_is_let_go_and_opened_again_when_it_is_back(
    app: ConsoleApp, home: Home, clock: ManualClock
) -> None:
    """Its room on the disk is free, and no kill goes where nobody reads."""
    aside = home.root / "aside"
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: opened(app) is not None)
        home.db.rename(aside)
        await shows(pilot, "DATABASE MISSING")
        await until(pilot, lambda: opened(app) is None)
        aside.rename(home.db)
        clock.advance(2_000)
        await until(pilot, lambda: opened(app) is not None)


def test_a_database_that_is_taken_away_while_its_door_opens_is_not_made_anew(
    home: Home, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty one in its place would hide that it is gone."""
    monkeypatch.setattr(store, "check_opens", lambda path: path.rename(home.root / "aside"))

    with pytest.raises(StoreMissing):
        Database.open(home.db)

    assert not home.db.exists()


@pytest.mark.usefixtures("live")
async def test_who_may_only_look_opens_no_door(home: Home, clock: ManualClock) -> None:
    app = ConsoleApp(home, clock=clock, options=Options(readonly=True))
    app.acts.renew = app.acts.load = lambda **_: pytest.fail("a door was opened")  # type: ignore[method-assign]
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: set(app.board.panes) == set(View))
        home.db.rename(home.root / "aside")
        await shows(pilot, "DATABASE MISSING")


async def test_a_look_brings_no_older_database_up_to_date(home: Home, clock: ManualClock) -> None:
    """No runner holds the home, so a write would."""
    with closing(new_database(home.db)) as database:
        database.connection.execute("PRAGMA user_version = 1")
    app = ConsoleApp(home, clock=clock)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "DATABASE OLDER")
        await until(pilot, lambda: set(app.board.panes) == set(View))
        await until(pilot, lambda: not [one for one in threading.enumerate() if one.name == "renew"])

    with closing(sqlite3.connect(home.db)) as db:
        assert schema_version(db) == 1
