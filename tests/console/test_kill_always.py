"""The kill is recorded wherever the hand is, whatever the terminal takes, and whoever holds the database.

How long it takes is measured in tests/bench; here it must come, every time.
"""

from __future__ import annotations

import os
import select
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import pytest

from runner.commands import Door
from runner.home import Home
from runner.store import controls
from runner.store.db import Database
from runner.store.jobs import JobStatus
from runner.units import SystemClock
from tests.console.conftest import runner_lock
from tests.console.screen import eventually
from tests.console.terminals import PATIENT, REDRAW, Terminal, on_a_terminal
from tests.factories import make_charge, make_job, make_runner, make_running, make_settings

F9 = b"\x1b[20~"
PICTURES = 60
"""More than the library lets wait for a terminal before it waits itself, keys and all."""
SLOW_BYTES_S = 1_000
MEAN_A_ROW = (b"r", b"\r")
PRESSED_S = 1.0
"""How long a key is given before it is pressed again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the hand is."""

    keys: tuple[tuple[bytes, bytes], ...] = ()
    """What leads there, each with what is drawn then."""
    letters: bytes = b""
    """Typed there; a letter of a word kills nothing."""
    kill: bytes = b"k"


PLACES = {
    "board": Place(),
    "job": Place(keys=((b"2", b"newest first"), (b"\r", b"ATTEMPTS"))),
    "help": Place(keys=((b"?", b"MOVING"),)),
    "question": Place(keys=((b"3", b"error, and its jobs"), (b"r", b"leave it as it is"))),
    "question, F9": Place(keys=((b"3", b"error, and its jobs"), (b"r", b"leave it as it is")), kill=F9),
    "typed line": Place(keys=((b"$", b"goes on"),), letters=b"kk", kill=F9),
    "filter": Place(keys=((b"2", b"newest first"), (b"/", b" / ")), letters=b"kk", kill=F9),
    "palette": Place(keys=((b":", b" does it  "),), letters=b"kk", kill=F9),
}


class Reader:
    """Who reads the terminal: all that comes, a thousand bytes a second, or nothing."""

    def __init__(self, terminal: Terminal) -> None:
        self.pace = "all"
        self._terminal = terminal
        self._ended = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        master = self._terminal.master
        while not self._ended:
            if self.pace == "stopped" or not select.select([master], [], [], 0.05)[0]:
                time.sleep(0.005)
                continue
            try:
                part = os.read(master, 65536 if self.pace == "all" else SLOW_BYTES_S // 20)
            except OSError:
                return
            self._terminal.output += part
            if self.pace == "slow":
                time.sleep(0.05)

    def shows(self, text: bytes, *, again: bytes = b"") -> None:
        """Wait until it was drawn since the last call.

        `again`: a key that leads to it, pressed until it does: before its list is on the screen it means nothing, and
        what this reader has read may be half a picture.
        """
        pressed = -PRESSED_S

        def drawn() -> bool:
            nonlocal pressed
            if text in self._terminal.output:
                return True
            if again and time.monotonic() - pressed >= PRESSED_S:
                self._terminal.press(again)
                pressed = time.monotonic()
            return False

        try:
            eventually(drawn)
        except AssertionError:
            raise AssertionError(f"{text!r} was not drawn: {self._terminal.output[-3000:]!r}") from None
        self._terminal.output = b""

    def close(self) -> None:
        self._ended = True
        self._thread.join()


@contextmanager
def at(place: Place, home: Home) -> Iterator[tuple[Terminal, Reader]]:
    """The console with the hand at the place."""
    console = on_a_terminal("--home", str(home.root), size=(100, 30), program=PATIENT)
    with runner_lock(home), console as terminal:
        reader = Reader(terminal)
        try:
            reader.shows(b"at-work")
            for keys, shown in place.keys:
                if keys in MEAN_A_ROW:
                    reader.shows(shown, again=keys)
                else:
                    terminal.press(keys)
                    reader.shows(shown)
            time.sleep(0.35)  # what is pressed right after a dialog has opened is dropped, by intention
            terminal.press(place.letters)
            yield terminal, reader
        finally:
            reader.close()


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_a_kill_is_recorded(home: Home, database: Database, place: Place) -> None:
    """Three times in one place: beside a held write lock, on a link of 1 kB/s, on a terminal nobody reads."""
    db = database.connection
    _at_work(db)
    with at(place, home) as (terminal, reader):
        with closing(sqlite3.connect(home.db, isolation_level=None)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            terminal.press(place.kill)
            eventually(home.stop_set)  # the file stops the runner while the row must wait
            assert not controls.stop_row(db).is_set
            holder.execute("ROLLBACK")
        eventually(lambda: controls.stop_row(db).is_set)

        for pace in ("slow", "stopped"):
            _resume(home)
            reader.pace = pace
            for _ in range(PICTURES):
                terminal.press(REDRAW)
                time.sleep(0.02)  # keys that come together make one picture
            assert not controls.stop_row(db).is_set, "letters of a word, and drawing anew, stop nothing"
            terminal.press(place.kill)
            eventually(lambda: controls.stop_row(db).is_set and home.stop_set())


def _resume(home: Home) -> None:
    with closing(Door(home)) as door:
        door.resume()


def _at_work(db: sqlite3.Connection) -> None:
    """A job at work, and a dead one that was paid for, so that its replay asks."""
    now = SystemClock().now()
    make_settings(db)
    make_runner(db, heartbeat_at=now + 3_600_000)
    dead = make_job(db, key="dead", status=JobStatus.DEAD, created_at=now, finished_at=now)
    make_charge(db, dead, cost=40_000, held_at=now)
    make_running(db, key="at-work", started_at=now)
