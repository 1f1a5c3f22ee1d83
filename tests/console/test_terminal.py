"""The real program on real terminals."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from pathlib import Path

import pytest

from console import terminal
from runner.home import Home
from runner.snapshot import JobStatus
from runner.store import controls
from runner.store.db import Database
from runner.units import HOUR_MS, SystemClock
from tests.console.conftest import runner_lock
from tests.console.hostile import STORABLE
from tests.console.screen import eventually
from tests.console.terminals import PROGRAM, REDRAW, Tmux, on_a_terminal
from tests.console.test_hostile import poison
from tests.factories import make_job, make_runner, make_running, make_settings

SEQUENCE = re.compile(rb"\x1b(\[[0-?]*[ -/]*[@-~]|[\]PX^_].*?(?:\x07|\x1b\\)|[ -/]*[0-~])", re.S)


def shapes(output: bytes) -> set[bytes]:
    """The kinds of escape sequences in it, without colours and cursor addresses, whose numbers vary."""
    found = {re.sub(rb"[0-9]+", b"N", match[0]) for match in SEQUENCE.finditer(output)}
    return {shape for shape in found if not re.fullmatch(rb"\x1b\[[N;]*[mH]", shape)}


def walk(home: Home) -> bytes:
    """What the program sends while all its views are looked at."""
    with on_a_terminal("--home", str(home.root), size=(120, 40)) as tty:
        tty.read_until(b"Quit")
        tty.press(b"2")
        tty.press_until(b"\r", b"TIMELINE")
        for key, shown in ((b"3", b"error, and its jobs"), (b"5", b"last slot"), (b"6", b"Level")):
            tty.press(key)
            tty.press_until(REDRAW, shown)  # whole, not only what is other than before
        tty.press(b"q")
        tty.read_until(b"the runner goes on")
    return tty.output


@pytest.mark.parametrize(
    ("environ", "said"), [({}, "the runner goes on"), ({"AFK_DEMO": "1"}, "the demo's runner ends with it")]
)
def test_what_becomes_of_the_runner_is_told_as_it_is(environ: dict[str, str], said: str) -> None:
    assert terminal.what_goes_on(environ) == said


def test_a_poisoned_home_sends_the_terminal_nothing_but_our_own_sequences(home: Home, database: Database) -> None:
    make_job(database.connection, status=JobStatus.DEAD)
    calm = walk(home)
    with database.write() as db:
        for number, text in enumerate(STORABLE):
            poison(db, text[:500], number)

    output = walk(home)

    assert shapes(output) <= shapes(calm)
    assert set(re.findall(rb"\x1b[\]PX^_][^\x07\x1b]*", output)) <= {b"\x1b]22;default"}, "the library's pointer shape"
    rest = SEQUENCE.sub(b"", output).decode("utf-8")
    assert not [char for char in rest if not char.isprintable() and char not in "\r\n"]


def test_a_quiet_home_sends_the_terminal_nothing(home: Home, database: Database) -> None:
    """Nothing runs and nothing changes: the only byte to come is the next minute."""
    with on_a_terminal("--home", str(home.root)) as tty:
        tty.read_until(b"Quit")
        tty.read_until_quiet(seconds=1.5, most=500)

        assert tty.process.poll() is None


@pytest.mark.parametrize(("no_color", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)], ids=["colour", "none"])
def test_colours_are_the_terminals_own_sixteen_or_none(
    home: Home, db: sqlite3.Connection, no_color: dict[str, str], coloured: bool
) -> None:
    make_job(db, status=JobStatus.DEAD)
    with on_a_terminal("--home", str(home.root), **no_color) as tty:
        tty.read_until(b"Quit")
        tty.drain(0.3)
    codes = {code for match in re.findall(rb"\x1b\[([0-9;]*)m", tty.output) for code in match.split(b";")}

    assert not codes & {b"38", b"48"}
    assert bool(codes & {b"31", b"32", b"33", b"36"}) is coloured


def test_it_ends_by_itself_when_the_terminal_is_lost(home: Home, database: Database) -> None:
    """Also under a shell that made it deaf to the hang-up signal."""
    with on_a_terminal("--home", str(home.root), ignore_hup=True) as tty:
        tty.read_until(b"Quit")
        tty.hang_up()

        tty.process.wait(60)  # within 2 s on a machine that is not busy: tests/bench


@pytest.mark.skipif(shutil.which("tmux") is None, reason="no tmux here")
def test_k_in_tmux_stops_a_home_and_the_runners_answer_is_shown(
    home: Home, db: sqlite3.Connection, tmp_path: Path
) -> None:
    now = SystemClock().now()
    beat = now + HOUR_MS  # nobody beats here, however long it takes
    make_settings(db)
    make_runner(db, heartbeat_at=beat)
    make_running(db, key="at-work", started_at=now)
    tmux = Tmux(tmp_path / "tmux")
    with runner_lock(home):
        try:
            tmux.run("new-session", "-d", "-x", "80", "-y", "24", f"cd / && exec {PROGRAM} --home {home.root}")
            tmux.until("at-work")
            tmux.press("k")
            tmux.until("STOP SENT")
            eventually(lambda: controls.stop_row(db).value == controls.STOP)
            assert home.stop_set()

            seq = controls.stop_row(db).seq
            db.execute("UPDATE runners SET state = 'draining', stop_seq = ?", (seq,))
            tmux.until("STOPPED  by ")
            tmux.press("u")
            tmux.until("Resume the runner?")
            tmux.press("Enter")
            tmux.press_while("n", "Resume the runner?")
            assert home.stop_set()
        finally:
            tmux.run("kill-server")


@pytest.mark.parametrize("term", ["", "dumb", "unknown"])
def test_a_terminal_that_cannot_be_drawn_on_gets_advice(term: str) -> None:
    master, slave = os.openpty()
    with open(slave) as end:
        advice = terminal.why_not({"TERM": term}, end, end)
        fine = terminal.why_not({"TERM": "xterm-ghostty"}, end, end)
    os.close(master)

    assert advice is not None
    assert "--once" in advice
    assert fine is None
    assert "no terminal" in (terminal.why_not({"TERM": "xterm"}, None, None) or "")


def test_a_lost_terminal_is_noticed() -> None:
    master, slave = os.openpty()
    with open(slave) as end:
        before = terminal.lost(end)
        os.close(master)

        assert (before, terminal.lost(end), terminal.lost(None)) == (False, True, True)
