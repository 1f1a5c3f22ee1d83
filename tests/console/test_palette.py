"""The palette: every act and view by its name, through the very keys a person would press."""

from __future__ import annotations

import sqlite3

import pytest
from rich.cells import cell_len
from textual.events import Paste
from textual.pilot import Pilot

from console.line import plain, width_of
from console.look import ASCII
from console.registry import EVERYWHERE, SCREEN, VIEWS, commands, in_bar, matching
from console.screens.help import help_lines
from console.screens.palette import Palette
from console.screens.resume import ResumeQuestion
from console.seen import View
from console.tui import ConsoleApp, Options
from runner.home import Home
from runner.snapshot import JobStatus
from runner.store import controls
from tests.console.screen import lines_of, look, shows, text_of, until
from tests.factories import NOW, ManualClock, make_job

pytestmark = pytest.mark.usefixtures("live")
SIZES = [(60, 16), (80, 24), (120, 40)]


async def opened(pilot: Pilot[None], app: ConsoleApp, typed: str = "") -> Palette:
    """The palette, with something typed."""
    await pilot.press("colon", *typed)
    palette = app.screen
    assert isinstance(palette, Palette)
    return palette


def stop_value(db: sqlite3.Connection) -> str:
    return controls.stop_row(db).value


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_it_fits_every_size_and_keeps_its_own(app: ConsoleApp, size: tuple[int, int]) -> None:
    async with app.run_test(size=size) as pilot:
        await opened(pilot, app)
        await pilot.pause()
        before = lines_of(app)
        await pilot.press(*"xyzxyz")
        await pilot.pause()
        after = lines_of(app)

        assert {cell_len(line) for line in (*before, *after)} == {size[0]}
        assert "nothing is called that" in "\n".join(after)
        assert [line[:1] for line in before] == [line[:1] for line in after], "the box has not moved"
        assert [line[:9].strip() for line in after[:4]] == ["RUNNER", "SPEND", "BREAKER", "JOBS"]


async def test_k_in_it_is_a_letter_and_f9_kills(app: ConsoleApp, db: sqlite3.Connection) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        palette = await opened(pilot, app, "kK")

        assert (palette.typed, stop_value(db)) == ("kK", controls.OFF)
        await pilot.press("f9")
        await until(pilot, lambda: stop_value(db) == controls.STOP)

        assert app.screen is palette


async def test_a_paste_arrives_nowhere(app: ConsoleApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        palette = await opened(pilot, app)
        app.post_message(Paste("kill\n"))
        await look(pilot)

        assert palette.typed == ""


async def test_enter_does_what_the_key_does_with_its_question(app: ConsoleApp, db: sqlite3.Connection) -> None:
    controls.set_stop(db, controls.STOP, reason="test", by="test", now=NOW)
    async with app.run_test(size=(80, 24)) as pilot:
        await look(pilot)
        await opened(pilot, app, "resu")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ResumeQuestion))

        assert stop_value(db) == controls.STOP


async def test_a_view_is_opened_and_an_act_of_the_open_pane_is_found(app: ConsoleApp, db: sqlite3.Connection) -> None:
    make_job(db, status=JobStatus.DEAD)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app, "dead")
        await pilot.press("enter")
        await until(pilot, lambda: app.board.view is View.DEAD)
        await look(pilot)
        await opened(pilot, app, "mark")
        await pilot.press("enter")
        await look(pilot)

        assert app.board.pane.targets()


async def test_kill_by_name_kills(app: ConsoleApp, db: sqlite3.Connection) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app, "kill")
        await pilot.press("enter")
        await until(pilot, lambda: stop_value(db) == controls.STOP)

        assert app.screen is app.board


async def test_arrows_choose_and_esc_leaves(app: ConsoleApp, db: sqlite3.Connection) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        palette = await opened(pilot, app)
        first = palette.chosen
        await pilot.press("down", "down", "up")
        second = palette.chosen
        await pilot.press("end")
        last = palette.chosen
        await pilot.pause()
        assert first != second != last
        assert last is not None
        assert f"> {last.name}" in text_of(app)
        await pilot.press("escape")
        await pilot.pause()

        assert app.screen is app.board
        assert stop_value(db) == controls.OFF


async def test_what_is_typed_is_shown_and_taken_back(app: ConsoleApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        palette = await opened(pilot, app, "spe")
        await shows(pilot, ": spe")
        await pilot.press("backspace")
        assert palette.typed == "sp"
        await pilot.press("ctrl+u")
        assert palette.typed == ""


async def test_read_only_no_act_is_in_it(home: Home, clock: ManualClock) -> None:
    app = ConsoleApp(home, clock=clock, options=Options(readonly=True))
    async with app.run_test(size=(120, 40)) as pilot:
        for view in View:
            if view is not View.JOB:
                app.board.action_open(view.name)
            palette = await opened(pilot, app)
            assert not [one.id for one in palette._commands if one.writes]
            assert "Kill" not in [one.name for one in palette._commands]
            await pilot.press("escape")


async def test_in_ascii_nothing_else_is_drawn(home: Home, clock: ManualClock) -> None:
    app = ConsoleApp(home, clock=clock, options=Options(look=ASCII))
    async with app.run_test(size=(60, 16)) as pilot:
        await opened(pilot, app, "e")
        await pilot.pause()

        assert text_of(app).isascii()


async def test_every_command_has_a_binding_and_every_pane_is_listed(app: ConsoleApp) -> None:
    async with app.run_test(size=(80, 24)):
        bound = {*app.board._bindings.key_to_bindings, *app._bindings.key_to_bindings}

        assert {one.press for one in (*EVERYWHERE, *VIEWS, *SCREEN)} <= bound
        assert {one.key for one in VIEWS} == {view.value for view in View if view is not View.JOB}


async def test_bar_help_and_palette_say_the_same(app: ConsoleApp) -> None:
    async with app.run_test(size=(80, 24)):
        for view in View:
            pane = app.board.panes[view]
            told = "\n".join(plain(line) for line in help_lines(pane, 80, readonly=False))
            for key, _, _ in in_bar(pane, readonly=False):
                assert f"   {key}" in told or key in "mbi", (view, key)
            ids = [one.id for one in commands(pane, readonly=False)]
            assert len(ids) == len({*ids})


@pytest.mark.parametrize("size", [(60, 16), (80, 24)], ids=lambda size: f"{size[0]}x{size[1]}")
async def test_no_sentence_of_the_help_is_cut(app: ConsoleApp, size: tuple[int, int]) -> None:
    async with app.run_test(size=size) as pilot:
        await pilot.press("2", "question_mark")
        seen = ""
        for _ in range(8):
            await pilot.pause()
            seen += text_of(app)
            await pilot.press("pagedown")

        assert "…" not in seen
        assert "runner" in seen
        for view in View:
            lines = help_lines(app.board.panes[view], size[0], readonly=False)
            assert max(width_of(one) for one in lines) < size[0]


def test_the_closest_name_comes_first() -> None:
    assert matching("dea", (*EVERYWHERE, *VIEWS))[0].id == "dead"
    assert matching("rtc", EVERYWHERE)[0].id == "raise", "a letter that begins a word is close"
    assert matching("RESUME", EVERYWHERE)[0].id == "resume"
    assert matching("", EVERYWHERE) == EVERYWHERE
    assert matching("zzzz", EVERYWHERE) == ()
