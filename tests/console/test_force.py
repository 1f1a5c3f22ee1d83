"""`K` ends the runner's processes from outside: only those it named, only after the word, and never read-only."""

from __future__ import annotations

import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator

import pytest
from rich.cells import cell_len

from console.screens.force import ForceQuestion
from console.tui import ConsoleApp, Options
from runner.home import Home
from runner.store import controls
from runner.work import forced
from runner.work.processes import boot_id, start_time
from tests.console.conftest import ManualMonotonic
from tests.console.hostile import STORABLE
from tests.console.screen import DEADLINE_S, flash_of, lines_of, look, shows, text_of, until
from tests.factories import ManualClock, make_charge, make_runner, make_running, make_settings

SIZES = [(60, 16), (80, 24), (120, 40)]
HOLD = (
    "import sys, time; from pathlib import Path; from runner.lock import HomeLock; "
    "lock = HomeLock(Path(sys.argv[1])); lock.take(); print('held', flush=True); time.sleep(600)"
)


@pytest.fixture
def runner(home: Home, db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the home as a runner does, with two jobs at work, and ends when it is asked to."""
    monkeypatch.setattr(forced, "TERM_S", DEADLINE_S)  # however late it gets its turn
    with subprocess.Popen([sys.executable, "-c", HOLD, str(home.lock)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        make_settings(db)
        make_runner(db, pid=process.pid)
        row = (start_time(process.pid), boot_id(), socket.gethostname())
        db.execute("UPDATE runners SET pid_started = ?, boot = ?, host = ?", row)
        job = make_running(db, key="digest-1", task="digest")
        make_running(db, key="triage-1", task="triage")
        make_charge(db, job, cost=120_000)
        yield process
        process.kill()


async def typed(pilot, word: str, monotonic: ManualMonotonic) -> None:
    """Answer a question once it has settled."""
    monotonic.advance(1)
    await pilot.press(*word)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_it_names_what_it_ends_and_tells_what_it_ended(
    app: ConsoleApp,
    db: sqlite3.Connection,
    runner: subprocess.Popen[str],
    monotonic: ManualMonotonic,
    size: tuple[int, int],
) -> None:
    async with app.run_test(size=size) as pilot:
        await pilot.press("K")
        await shows(
            pilot, "End the runner's processes", f"pid {runner.pid}", "2 jobs, $0.120 so far", "digest-1", "force"
        )
        assert {cell_len(line) for line in lines_of(app)} == {size[0]}

        await typed(pilot, "forcey", monotonic)
        await shows(pilot, f"ended runner {runner.pid} by TERM; lock free, 2 leases left"[: size[0] - 2])

        assert runner.wait(60) == -15
        assert controls.stop_row(db).value == controls.STOP_NOW
        assert controls.stop_row(db).reason == "K in the console"


@pytest.mark.parametrize("keys", [("y",), ("enter",), ("f", "o", "r", "c", "y"), ("n",), ("escape",), ("q",)])
async def test_without_the_whole_word_nothing_is_ended(
    app: ConsoleApp, home: Home, runner: subprocess.Popen[str], monotonic: ManualMonotonic, keys: tuple[str, ...]
) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("K")
        await shows(pilot, f"pid {runner.pid}")
        await typed(pilot, keys, monotonic)
        await look(pilot)

        assert runner.poll() is None
        assert not home.stop_set()


async def test_k_stops_in_the_dialog_and_ends_nothing(
    app: ConsoleApp, home: Home, runner: subprocess.Popen[str]
) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("K")
        await until(pilot, lambda: isinstance(app.screen, ForceQuestion))
        await pilot.press("k")
        await until(pilot, home.stop_set)

        assert runner.poll() is None


async def test_a_runner_that_came_after_the_question_is_left_alone(
    app: ConsoleApp, db: sqlite3.Connection, runner: subprocess.Popen[str], monotonic: ManualMonotonic
) -> None:
    """Its row went and came again under the open dialog: another process by all that is known."""
    async with app.run_test(size=(120, 24)) as pilot:
        await pilot.press("K")
        await until(pilot, lambda: isinstance(app.screen, ForceQuestion))
        question = app.screen
        assert isinstance(question, ForceQuestion)
        await until(pilot, lambda: question.targets)
        assert question.targets is not None
        shown = question.targets.runners[0]
        object.__setattr__(shown, "started", "another")
        await typed(pilot, "forcey", monotonic)
        await shows(pilot, "was not among those shown")

        assert runner.poll() is None


async def test_what_is_typed_before_it_is_known_what_runs_goes_nowhere(
    app: ConsoleApp, db: sqlite3.Connection, runner: subprocess.Popen[str], monotonic: ManualMonotonic
) -> None:
    """Neither to the question nor to the list behind it, where some letters act."""
    async with app.run_test(size=(80, 24)) as pilot:
        with app.acts.forces.turn:
            await pilot.press("K")
            await shows(pilot, "looking which processes run")
            await typed(pilot, "forcey", monotonic)
            assert isinstance(app.screen, ForceQuestion)
        await shows(pilot, f"pid {runner.pid}")
        await pilot.press(*"forcey")
        await look(pilot)

        assert app.screen.typed == "", "nor right after it is known"
        assert runner.poll() is None


@pytest.mark.parametrize("text", STORABLE, ids=range(len(STORABLE)))
async def test_a_hostile_key_is_text_in_the_dialog(
    app: ConsoleApp, db: sqlite3.Connection, runner: subprocess.Popen[str], text: str
) -> None:
    db.execute("UPDATE jobs SET key = ? || 'end' WHERE key = 'digest-1'", (text[:300],))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("K")
        await shows(pilot, f"pid {runner.pid}")

        assert {cell_len(line) for line in lines_of(app)} == {80}
        assert all(char.isprintable() for line in lines_of(app) for char in line)
        assert isinstance(app.screen, ForceQuestion)


async def test_a_runner_on_another_host_is_refused_with_a_sentence(
    app: ConsoleApp, db: sqlite3.Connection, home: Home, live: None
) -> None:
    async with app.run_test(size=(120, 24)) as pilot:
        await pilot.press("K")
        await shows(pilot, "not forced: runner pid 4121 is on box, not here on")

        assert app.screen is app.board
        assert not home.stop_set()


async def test_without_any_runner_there_is_nothing_to_end(app: ConsoleApp, db: sqlite3.Connection) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("K")
        await shows(pilot, "not forced: nothing of this home runs here")


async def test_read_only_it_is_off(
    home: Home, clock: ManualClock, monotonic: ManualMonotonic, runner: subprocess.Popen[str]
) -> None:
    app = ConsoleApp(home, clock=clock, monotonic=monotonic, options=Options(readonly=True))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("K")
        await look(pilot)

        assert flash_of(app) == "K is off: started with --readonly"
        assert "End the runner" not in text_of(app)
