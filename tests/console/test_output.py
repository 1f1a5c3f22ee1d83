"""The output layer: what it sends draws the same picture as the library's own way, and a slow terminal costs no key."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import time
from pathlib import Path

import pytest
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from console.output import Shadow
from runner.home import Home
from runner.store import controls
from runner.store.db import Database
from runner.units import SystemClock
from tests.console import seed
from tests.console.conftest import runner_lock
from tests.console.screen import DEADLINE_S, eventually
from tests.console.terminals import PROGRAM, Tmux, on_a_terminal
from tests.factories import make_event, make_runner, make_running, make_settings

RED = Style(color="red")
SAYS = "j"
"""The key that changes nothing but what is said, and that goes after a while."""
WALK = (
    ("2", ">  wide"),
    ("Down", ">  intake-c0ffee2"),
    ("Enter", "[Job]"),
    ("q", "[2 Jobs]"),
    ("3", ">  - Timeout"),
    ("Down", ">    research-c0ffee0"),
    ("Space", "1 marked"),
    ("Space", "2 marked"),
    ("5", ">  digest"),
    ("6", "LOG  following"),
    ("Up", "LOG  held"),
    ("End", "LOG  following"),
    ("?", "ACTS"),
    ("q", "LOG  following"),
    ("1", "[1 Home]"),
    (SAYS, "arrows move"),
    ("2", ">  intake-c0ffee2"),
    ("End", "triage-2030-000"),
    ("Home", "summarise-9b15"),
    ("1", "NEEDS YOU"),
)
"""Every view, a dialog that covers part of one, and back: the key, and what shows that it was obeyed."""


def strip(*parts: tuple[str, Style | None]) -> Strip:
    return Strip([Segment(text, style) for text, style in parts])


def said(shadow: Shadow, x: int, y: int, new: Strip) -> list[tuple[int, str]]:
    return [(column, part.text) for column, part in shadow.changes(x, y, new)]


def test_what_the_terminal_shows_already_is_not_sent_again() -> None:
    shadow = Shadow()
    first = said(shadow, 0, 0, strip(("running 4", None)))
    again = said(shadow, 0, 0, strip(("running 4", None)))
    shadow.forget()

    assert first == [(0, "running 4")]
    assert again == []
    assert said(shadow, 0, 0, strip(("running 4", None))) == [(0, "running 4")]


def test_only_the_changed_cells_are_sent_and_near_ones_together() -> None:
    shadow = Shadow()
    list(shadow.changes(10, 3, strip(("queued 128 running 4 of 4 dead letters 3", None))))

    near = said(shadow, 10, 3, strip(("queued 129 running 3 of 4 dead letters 3", None)))
    far = said(shadow, 10, 3, strip(("queued 130 running 3 of 4 dead letters 4", None)))

    assert near == [(19, "9"), (29, "3")]
    assert far == [(18, "30"), (49, "4")]


def test_a_change_of_style_alone_is_a_change() -> None:
    shadow = Shadow()
    list(shadow.changes(0, 0, strip(("closed", None))))

    assert said(shadow, 0, 0, strip(("clo", None), ("sed", RED))) == [(3, "sed")]


def test_a_text_with_wide_characters_is_sent_whole() -> None:
    """Where a cell is half a character, no part of it may be drawn alone."""
    shadow = Shadow()
    list(shadow.changes(0, 0, strip(("日本 one", None))))

    assert said(shadow, 0, 0, strip(("日本 one", None))) == []
    assert said(shadow, 0, 0, strip(("日本 two", None))) == [(0, "日本 two")]
    assert said(shadow, 0, 0, strip(("plain  1", None))) == [(0, "plain  1")]


@pytest.mark.skipif(shutil.which("tmux") is None, reason="no tmux here")
@pytest.mark.parametrize("size", [(60, 16), (100, 30)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_every_picture_is_the_one_the_library_draws(
    home: Home, database: Database, tmp_path: Path, size: tuple[int, int]
) -> None:
    """Both ways side by side in tmux, the same keys, every cell and every colour of every picture."""
    seed.seed(database, SystemClock().now(), pid=os.getpid())
    with database.write() as db:
        make_running(db, key="wide-日本語-👩‍💻-e\u0301", started_at=SystemClock().now())
        make_event(db, "wide: 日本語 👩‍💻 and narrow")
    ours, theirs = Tmux(tmp_path / "ours"), Tmux(tmp_path / "theirs")
    sides = ((ours, "1"), (theirs, "0"))
    try:
        for tmux, diff in sides:
            command = f"cd / && AFK_TUI_DIFF={diff} exec {PROGRAM} --readonly --home {home.root}"
            tmux.run("new-session", "-d", "-x", str(size[0]), "-y", str(size[1]), command)
            tmux.until("Quit" if size[0] > 60 else "Help")
        for key, shown in WALK:
            for tmux, _ in sides:
                if key == SAYS:
                    tmux.press_until(key, shown)
                    continue
                tmux.press(key)
                tmux.until(shown)
            _same_picture(key, ours, theirs)
        for tmux, _ in sides:
            tmux.press("C-l")
        _same_picture("C-l", ours, theirs)
    finally:
        for tmux, _ in sides:
            tmux.run("kill-server")


def _same_picture(key: str, ours: Tmux, theirs: Tmux) -> None:
    """Wait until both show the same, cell by cell, colours included."""
    deadline = time.monotonic() + DEADLINE_S
    while (mine := _picture(ours)) != (right := _picture(theirs)):
        assert time.monotonic() < deadline, f"after {key}:\n" + "\n".join(
            f"ours   {a}\ntheirs {b}" for a, b in zip(mine, right, strict=True) if a != b
        )


def _picture(tmux: Tmux) -> list[list[tuple[str, frozenset[int]]]]:
    """Every line as characters with their attributes; of a blank only those that can be seen on it."""
    return [_cells(line) for line in tmux.run("capture-pane", "-e", "-p").split("\n")]


def _cells(line: str) -> list[tuple[str, frozenset[int]]]:
    cells: list[tuple[str, frozenset[int]]] = []
    attributes: set[int] = set()
    for codes, text in re.findall(r"\x1b\[([0-9;]*)m|([^\x1b]+)", line):
        if text:
            seen_on_blank = frozenset(code for code in attributes if code in (4, 7) or 40 <= code < 48 or code >= 100)
            cells += [(char, seen_on_blank if char == " " else frozenset(attributes)) for char in text]
            continue
        for code in map(int, (codes or "0").split(";")):
            if code == 0:
                attributes.clear()
            elif code in (39, 49):
                tens = 3 if code == 39 else 4
                attributes -= {each for each in attributes if each // 10 in (tens, tens + 6)}
            else:
                attributes.add(code)
    while cells and cells[-1] == (" ", frozenset()):
        cells.pop()
    return cells


def test_k_arrives_though_the_terminal_takes_nothing_any_more(home: Home, database: Database) -> None:
    """Nobody reads the terminal while more pictures are due than are ever queued for it; the key still acts."""
    db = database.connection
    _at_work(db)
    with runner_lock(home), on_a_terminal("--home", str(home.root), size=(120, 40)) as tty:
        tty.read_until(b"at-work")
        for key in (b"2", b"1") * 100:
            tty.press(key)
            time.sleep(0.03)  # keys that come together make one picture
        tty.press(b"k")

        eventually(lambda: controls.stop_row(db).value == controls.STOP)
        tty.read_until(b"STOP")


def _at_work(db: sqlite3.Connection) -> None:
    clock = SystemClock()
    make_settings(db)
    make_runner(db, heartbeat_at=clock.now() + 3_600_000)
    make_running(db, key="at-work", started_at=clock.now())
