"""`k` kills at once, everywhere, whatever state the home is in."""

from __future__ import annotations

import sqlite3

import pytest
from textual.screen import Screen
from textual.widgets import Input

from console import tui
from console.acts import Acts
from console.messages import ForceAsked, KillEnded, Plan, Planned, Said
from console.screens.help import Help
from console.screens.question import Question
from console.screens.resume import ResumeQuestion
from console.tui import ConsoleApp, Options
from runner.commands import Door, Killed, switch
from runner.home import Home
from runner.store import controls
from runner.store.db import Database
from tests.console.conftest import ManualMonotonic
from tests.console.screen import DEADLINE_S, eventually, flash_of, lines_of, look, shows, text_of, until
from tests.factories import ManualClock, make_running

pytestmark = pytest.mark.usefixtures("live")


def stop_value(db: sqlite3.Connection) -> str:
    return controls.stop_row(db).value


async def test_one_key_sets_file_and_row_without_asking(app: ConsoleApp, home: Home, db: sqlite3.Connection) -> None:
    make_running(db)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("k")
        await shows(pilot, "STOP SENT", "stop recorded; k again cuts calls in flight")

        assert (stop_value(db), home.stop_set()) == (controls.STOP, True)
        assert controls.stop_row(db).reason == "k in the console"
        assert isinstance(app.screen, Screen)
        assert app.screen is app.board


async def test_stopped_is_said_once_the_runner_has_answered(app: ConsoleApp, db: sqlite3.Connection) -> None:
    make_running(db)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("k")
        await shows(pilot, "the runner has not answered yet")

        db.execute("UPDATE runners SET state = 'draining', stop_seq = ?", (controls.stop_row(db).seq,))
        await look(pilot)

        assert lines_of(app)[2].startswith(" STOPPED  by ")
        assert "1 job still finishing" in lines_of(app)[2]


async def test_the_screen_says_sent_before_the_database_answers(
    app: ConsoleApp, home: Home, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody holds the write lock: the file stops the runner, the screen shows it, and no key waits."""
    monkeypatch.setattr(switch, "ROW_WAIT_S", 60.0)  # it would be left to the file while this test looks
    async with app.run_test(size=(80, 24)) as pilot:
        with database.write():
            await pilot.press("k")
            await shows(pilot, "STOP SENT")
            await until(pilot, home.stop_set)
            assert app._killing == 1
            await pilot.press("2")
            await shows(pilot, "[2 Jobs]")
        await until(pilot, lambda: app._killing == 0)

        assert stop_value(database.connection) == controls.STOP


async def test_a_recorded_stop_is_shown_as_sent_until_a_look_has_seen_it(app: ConsoleApp, home: Home) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "STOP not set")
        with app.feed._turn:  # no look comes to its end
            await pilot.press("k")
            await shows(pilot, "stop recorded", "STOP SENT")
            assert "STOP not set" not in text_of(app)
        await shows(pilot, "STOP SENT")


@pytest.mark.parametrize("keys", [("question_mark",), ("dollar_sign",), ("2", "slash"), ("m",), ()], ids=str)
async def test_esc_and_k_in_quick_succession_leave_and_kill(
    app: ConsoleApp, home: Home, monotonic: ManualMonotonic, keys: tuple[str, ...]
) -> None:
    """A terminal sends them as one, and tmux waits half a second before it tells them apart."""
    async with app.run_test(size=(80, 24)) as pilot:
        for key in keys:
            await pilot.press(key)
            await look(pilot)
        monotonic.advance(1)
        await pilot.press("alt+k")
        await until(pilot, home.stop_set)
        await until(pilot, lambda: app.screen is app.board and not app.board.pane.typing and not app.board.lies_over)
        await shows(pilot, "STOP SENT")


async def test_where_letters_are_text_the_key_that_kills_is_named(app: ConsoleApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        for view, opens in (("2", "slash"), ("6", "slash")):
            await pilot.press(view)
            await look(pilot)
            await pilot.press(opens)
            await shows(pilot, "Esc Leave  F9 Kill")
            assert "k Kill" not in text_of(app)
            await pilot.press("escape")
            await shows(pilot, "k Kill")
        await pilot.press("slash", "f9")
        await shows(pilot, "stop recorded; F9 again cuts calls in flight")


async def test_a_dialog_that_is_left_takes_no_look_along(
    app: ConsoleApp, home: Home, monotonic: ManualMonotonic
) -> None:
    """What the stop has come to is looked at whatever stands on the screen when it is recorded."""
    async with app.run_test(size=(80, 24)) as pilot:
        for _ in range(5):
            app.action_help()
            app.post_message(KillEnded(Killed(sources=("file", "row"), already=False), now=False))
            await pilot.pause(0)
            app.pop_screen()
            await shows(pilot, "STOP not set")


async def test_what_is_told_while_the_program_ends_is_no_fault(
    app: ConsoleApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its screens are closed before the last thread has told how its act went."""
    plan = Plan("r", read=lambda _: None, then=lambda _: pytest.fail("nobody is left to be asked"))
    async with app.run_test(size=(80, 24)):
        monkeypatch.setitem(app._screen_stacks, app._current_mode, [])
        app.on_kill_ended(KillEnded(Killed(sources=("file", "row"), already=False), now=False))
        app.on_force_asked(ForceAsked(None, "nothing runs"))
        app.on_planned(Planned(plan, "known", app.seen.generation))
        monkeypatch.undo()


async def test_a_fault_of_ours_in_a_kill_is_told(app: ConsoleApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Door, "kill", lambda *_, **__: 1 // 0)
    async with app.run_test(size=(120, 24)) as pilot:
        await pilot.press("k")
        await shows(pilot, "ZeroDivisionError", "afk-runner kill --now")
        assert app._killing == 0


async def test_a_kill_that_takes_long_is_told_with_the_command_that_does_the_same(
    app: ConsoleApp, home: Home, database: Database, monotonic: ManualMonotonic
) -> None:
    async with app.run_test(size=(140, 24)) as pilot:
        await pilot.pause()
        with database.write():
            app.action_kill()
            monotonic.advance(2.1)
            app._check()  # by itself once a second, which is as long as a kill waits for the lock
            assert f"in another terminal: afk-runner kill --now --home {home.root}"[:100] in text_of(app)
        await until(pilot, lambda: app._killing == 0)


async def test_a_second_k_cuts_the_grace_and_a_third_changes_nothing(app: ConsoleApp, db: sqlite3.Connection) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("k", "k")
        await shows(pilot, "without grace")
        await until(pilot, lambda: app._killing == 0)
        assert stop_value(db) == controls.STOP_NOW

        await pilot.press("k")
        await until(pilot, lambda: app._killing == 0)

        assert stop_value(db) == controls.STOP_NOW


async def test_k_after_a_resume_has_its_grace_again(app: ConsoleApp, db: sqlite3.Connection, home: Home) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("k")
        await shows(pilot, "stop recorded", "STOP SENT")
        assert "STOP not set" not in text_of(app)
        Door(home, clock=app.clock).resume()
        await shows(pilot, "STOP not set")

        await pilot.press("k")
        await until(pilot, lambda: app._killing == 0 and app.seen.stopped)

        assert stop_value(db) == controls.STOP


async def test_k_works_without_any_database(app: ConsoleApp, home: Home, database: Database) -> None:
    home.db.rename(home.root / "elsewhere")
    async with app.run_test(size=(120, 24)) as pilot:
        await shows(pilot, "DATABASE MISSING")
        await pilot.press("k")
        await shows(pilot, "STOP IS SET", "stopped by the STOP file; but")

        assert home.stop_set()


async def test_a_kill_that_failed_altogether_says_so_and_says_what_to_do(
    app: ConsoleApp, home: Home, database: Database
) -> None:
    home.db.rename(home.root / "elsewhere")
    async with app.run_test(size=(140, 24)) as pilot:
        app.post_message(KillEnded(None, now=False, error="NOT STOPPED: the disk is full"))
        app._killing = 1
        await shows(pilot, "NOT STOPPED: the disk is full; try afk-runner kill --now")


@pytest.mark.parametrize("key", ["k", "f9"])
async def test_k_works_in_every_dialog_and_leaves_it_open(
    app: ConsoleApp, db: sqlite3.Connection, monotonic: ManualMonotonic, key: str
) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        for dialog in (Help(app.board.pane, app.options.look, readonly=False), _question(app)):
            controls.set_stop(db, controls.OFF, reason=None, by="test", now=app.clock.now())
            await app.push_screen(dialog)
            await pilot.press(key)
            await until(pilot, lambda: app._killing == 0 and stop_value(db) != controls.OFF)
            assert app.screen is dialog
            app.pop_screen()


def _question(app: ConsoleApp) -> Question:
    return ResumeQuestion(app.seen, app.options.look, app.monotonic)


async def test_f9_kills_while_a_word_is_being_typed(app: ConsoleApp, db: sqlite3.Connection) -> None:
    """An input takes `k` as a letter, and must not take F9."""
    async with app.run_test(size=(80, 24)) as pilot:
        typing = Input()
        await app.board.mount(typing)
        typing.focus()
        await pilot.press("k", "f9")
        await until(pilot, lambda: stop_value(db) == controls.STOP)

        assert typing.value == "k"


async def test_a_paste_presses_no_key(app: ConsoleApp, db: sqlite3.Connection) -> None:
    from textual.events import Paste

    async with app.run_test(size=(80, 24)) as pilot:
        app.post_message(Paste("kukuy\nk"))
        await look(pilot)

        assert (stop_value(db), app.screen is app.board) == (controls.OFF, True)


async def test_read_only_has_no_acts(
    home: Home, clock: ManualClock, monotonic: ManualMonotonic, db: sqlite3.Connection
) -> None:
    app = ConsoleApp(home, clock=clock, monotonic=monotonic, options=Options(readonly=True))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("k", "f9", "u", "r")
        await look(pilot)

        assert (stop_value(db), home.stop_set()) == (controls.OFF, False)
        assert flash_of(app) == "r is off: started with --readonly"
        assert "read-only" in lines_of(app)[0]
        assert "Kill" not in lines_of(app)[-1]
        controls.set_stop(db, controls.STOP, reason="tea", by="ada@cli", now=app.clock.now())
        await shows(pilot, "STOP SENT")
        assert "u Resume" not in text_of(app)


async def test_a_kill_waits_for_no_other_act(home: Home, clock: ManualClock, db: sqlite3.Connection) -> None:
    """A long replay holds its own connection, not that of the kill, nor that of a force."""
    told: list[object] = []
    acts = Acts(home, db=None, clock=clock, tell=told.append)
    with acts.others.turn:
        acts.do(lambda _: Said("done"))
        acts.kill(now=False)
        eventually(lambda: told)
        acts.force_targets()
        eventually(lambda: len(told) == 2)
        assert [type(message) for message in told] == [KillEnded, ForceAsked]
    acts.wait(DEADLINE_S)


async def test_a_kill_pressed_just_before_quitting_still_arrives(
    app: ConsoleApp, db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tui, "FINISH_S", DEADLINE_S)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("k", "q")
    app.finish()

    assert stop_value(db) == controls.STOP
