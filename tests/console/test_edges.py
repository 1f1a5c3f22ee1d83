"""The edges of the screen: vitals that are hidden, a window nobody looks at, keys that come faster than a palette."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest
from textual import events

from console.panes.pane import Pane
from console.seen import View
from console.tui import ConsoleApp
from runner.home import Home
from runner.store import controls
from runner.store.db import Database
from tests.console.screen import lines_of, look, shows
from tests.console.terminals import REDRAW, on_a_terminal
from tests.factories import ManualClock

SIZES = [(60, 16), (80, 24), (120, 40)]


@pytest.mark.usefixtures("live")
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_hidden_vitals_leave_their_room_to_the_pane(app: ConsoleApp, size: tuple[int, int]) -> None:
    async with app.run_test(size=size) as pilot:
        await look(pilot)
        before = lines_of(app)
        await pilot.press("ctrl+e")
        await pilot.pause()
        hidden = lines_of(app)
        await pilot.press("ctrl+e")
        await pilot.pause()

        assert hidden[0].startswith(" BREAKER")
        assert "[1 Home]" in hidden[1]
        assert lines_of(app) == before


@pytest.mark.usefixtures("live")
async def test_a_stop_is_never_hidden(app: ConsoleApp, db: sqlite3.Connection) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("ctrl+e", "k")
        await shows(pilot, "STOP SENT")

        assert lines_of(app)[0].startswith(" STOP SENT")


@pytest.mark.usefixtures("live")
async def test_hidden_vitals_do_not_make_old_numbers_look_new(app: ConsoleApp, home: Home, clock: ManualClock) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("ctrl+e")
        home.db.rename(home.root / "elsewhere")
        await shows(pilot, "DATABASE MISSING", "DATA AS OF")


@pytest.mark.usefixtures("live")
async def test_a_window_nobody_looks_at_is_looked_after_half_as_often(app: ConsoleApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        app.post_message(events.AppBlur())
        await look(pilot)
        away = app.watch_home.slow
        app.post_message(events.AppFocus())
        await look(pilot)

        assert (away, app.watch_home.slow) == (True, False)


@pytest.mark.usefixtures("live")
async def test_keys_typed_while_their_pane_is_made_wait_for_it(
    app: ConsoleApp, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is made after the first picture, beside the keys: none of them is for what was there before."""
    mounted = Pane.on_mount

    async def mount_late(pane: Pane) -> None:
        if pane.view is View.JOBS:
            for key, letter in (("2", "2"), ("slash", "/"), *((letter, letter) for letter in "kur")):
                pane.app.post_message(events.Key(key, letter))
            for _ in range(200):
                await asyncio.sleep(0)
        mounted(pane)

    monkeypatch.setattr(Pane, "on_mount", mount_late)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, " / kur")
        assert not home.stop_set()


@pytest.mark.parametrize("keys", [b"2/", b"6/"])
def test_keys_typed_faster_than_a_line_opens_are_letters(home: Home, database: Database, keys: bytes) -> None:
    """All of them in one write, as a slow line delivers them: none of them kills, resumes or replays."""
    with on_a_terminal("--home", str(home.root)) as tty:
        tty.read_until(b"Quit")
        tty.press(keys + b"kur")
        tty.press_until(REDRAW, b"kur")

    assert controls.stop_row(database.connection).value == controls.OFF
    assert not home.stop_set()


def test_keys_typed_faster_than_the_palette_opens_are_letters(home: Home, database: Database) -> None:
    """The same, and none of them comes late, when the palette is gone again."""
    with on_a_terminal("--home", str(home.root)) as tty:
        tty.read_until(b"Quit")
        tty.press(b":kur")
        tty.press_until(REDRAW, b"kur")
        tty.press(b"\x7f\x7f\x7fquit\r")
        tty.read_until(b"the runner goes on")
        tty.process.wait(60)

    assert controls.stop_row(database.connection).value == controls.OFF
    assert not home.stop_set()
