"""The real console over a real runner that dies, hangs or loses its database: said, recovered from, never papered over.

A witness reads the screen all the time. Its rules know no seconds: while something is wrong every number has its
doubt, and a number that was replaced by a newer one is never seen again.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from itertools import pairwise
from pathlib import Path

import pytest

from runner.commands import Door
from runner.config import TaskConfig, TaskKind
from runner.enqueue import JobRequest
from runner.heartbeat import last_beat
from runner.home import Home
from runner.store import db as store
from runner.store.db import Database
from runner.units import SystemClock
from runner.views import LATE_MS
from tests.console.screen import DEADLINE_S
from tests.console.terminals import PROGRAM, Tmux
from tests.e2e.world import World, world
from tests.factories import make_job

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="no tmux here")

LONG_S = DEADLINE_S
QUEUED = re.compile(r"queued (\d+)(\??)")
SPENT = re.compile(r"SPEND +\$[0-9.]+(\??) ")
WORK = TaskConfig(name="work", kind=TaskKind.PYTHON)
TASKS = """
from runner import task

@task("work")
def work(ctx, payload):
    return None
"""


class Witness:
    """Every picture of a screen, in order, each differing from the one before.

    One that stood for a short while may be missed; what was drawn is kept all the same.
    """

    def __init__(self, tmux: Tmux, home: Home, drawn: Path) -> None:
        """`drawn`: all that the program sends to its terminal."""
        self.tmux = tmux
        self.pictures: list[str] = []
        self._home = home
        self._drawn = drawn
        self._beats: list[int] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._ended.wait(0.03):
            beat = last_beat(self._home.heartbeat)
            if beat is not None and beat.at not in self._beats[-1:]:
                self._beats.append(beat.at)
            with suppress(subprocess.CalledProcessError):
                picture = self.tmux.screen()
                if "RUNNER" in picture and (not self.pictures or picture != self.pictures[-1]):
                    self.pictures.append(picture)

    def close(self) -> None:
        self._ended.set()
        self._thread.join()

    def until(self, *texts: str, lacks: str | None = None) -> None:
        """Wait until one picture, from now on, has all of these."""
        deadline = time.monotonic() + LONG_S
        while True:
            picture = self.pictures[-1] if self.pictures else ""
            if all(text in picture for text in texts) and (lacks is None or lacks not in picture):
                return
            assert time.monotonic() < deadline, f"{texts} did not come:\n{picture}"
            time.sleep(0.02)

    def told(self, text: str) -> None:
        """Wait until this was drawn: what is said goes after a while, and may be looked for late."""
        deadline = time.monotonic() + LONG_S
        while text.encode() not in self._drawn.read_bytes():
            assert time.monotonic() < deadline, f"{text} was not told:\n{self.pictures[-1]}"
            time.sleep(0.02)

    def of(self, *words: str, since: int = 0) -> list[str]:
        """The pictures from the first with one of the words to the last with one; `since`: not those before this."""
        pictures = self.pictures[since:]
        with_it = [place for place, picture in enumerate(pictures) if any(word in picture for word in words)]
        assert with_it, f"none of {words} was ever seen"
        return pictures[with_it[0] : with_it[-1] + 1]

    def longest_silence_ms(self) -> int:
        """The longest time between two beats of the runner outside of the database, as far as they were seen."""
        beats = [*self._beats, SystemClock().now()]
        return max(after - before for before, after in pairwise(beats))


def doubted(pictures: list[str]) -> None:
    """No number of these is told as if it were known to be so."""
    for picture in pictures:
        assert "DATA AS OF" in picture, picture
        for found in (QUEUED.search(picture), SPENT.search(picture)):
            assert found is not None, picture
            assert found[found.re.groups] == "?", picture


def never_back(witness: Witness, *numbers: int) -> None:
    """Without a doubt these were queued, one after the other, and none came back after the next."""
    plain = [int(found[1]) for found in map(QUEUED.search, witness.pictures) if found and not found[2]]
    seen = [number for place, number in enumerate(plain) if not place or number != plain[place - 1]]
    assert seen == list(numbers)


def enqueue(afk: World, *names: str) -> None:
    requests = [JobRequest(task="work", payload={}, key=name) for name in names]
    with closing(Door(Home(afk.home))) as door:
        door.enqueue({"work": WORK}, requests, max_attempts=4)


def queue_two(afk: World) -> None:
    """Two jobs that nobody starts, for their task is paused."""
    with closing(Door(Home(afk.home))) as door:
        door.pause("work", reason="the test counts")
    enqueue(afk, "one", "two")


@contextmanager
def watched(root: Path, folder: Path) -> Iterator[Witness]:
    """The console on this home in a wide tmux."""
    tmux = Tmux(folder / "tmux")
    command = f"cd / && exec {PROGRAM} --home {root}"
    drawn = folder / "drawn"
    drawn.touch()
    tmux.run("new-session", "-d", "-x", "120", "-y", "30", command)
    tmux.run("pipe-pane", f"exec cat >> {shlex.quote(str(drawn))}")
    witness = Witness(tmux, Home(root), drawn)
    try:
        yield witness
    finally:
        witness.close()
        with suppress(subprocess.CalledProcessError):
            tmux.run("kill-server")


@pytest.fixture
def afk(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        made.init("", tasks=TASKS)
        yield made


@pytest.fixture
def waiting(afk: World) -> World:
    """A home where two are queued and stay so."""
    queue_two(afk)
    return afk


def test_a_killed_runner_is_dead_and_its_successor_makes_the_numbers_new(waiting: World, tmp_path: Path) -> None:
    runner = waiting.start()
    with watched(waiting.home, tmp_path) as screen:
        screen.until("live, running", "queued 2 ")
        waiting.kill9(runner)
        screen.until("DEAD, not running", "start it: afk-runner run")
        enqueue(waiting, "three")
        screen.until("queued 3?")
        waiting.start()
        screen.until("live, running", "queued 3 ")

        doubted(screen.of("DEAD"))
        never_back(screen, 2, 3)


def test_a_frozen_runner_is_silent_and_obeys_the_kill_when_it_thaws(waiting: World, tmp_path: Path) -> None:
    runner = waiting.start()
    with watched(waiting.home, tmp_path) as screen:
        screen.until("live, running", "queued 2 ")
        frozen = len(screen.pictures)
        runner.send_signal(signal.SIGSTOP)
        try:
            screen.until("SILENT", "holds its lock and says nothing")
            enqueue(waiting, "three")
            screen.until("queued 3?")
            screen.tmux.press("k")
            screen.until("STOP RECORDED", "runner not reading, silent")
        finally:
            runner.send_signal(signal.SIGCONT)
        screen.until("live, PARKED", "STOPPED  by ", "queued 3 ")

        doubted(screen.of("LATE", "SILENT", since=frozen))
        never_back(screen, 2, 3)


def test_a_database_that_was_moved_away_and_back(waiting: World, tmp_path: Path) -> None:
    """The runner goes on by itself too; what was queued meanwhile in the file is shown at once."""
    waiting.start()
    database, elsewhere = waiting.home / "agent.db", waiting.home / "elsewhere.db"
    with watched(waiting.home, tmp_path) as screen:
        screen.until("live, running", "queued 2 ")
        database.rename(elsewhere)
        screen.until("DATABASE MISSING", "queued 2?")
        elsewhere.rename(database)
        screen.told("the database is back after")
        screen.until("live, running", "queued 2 ", lacks="MISSING")
        enqueue(waiting, "three")
        screen.until("queued 3 ")

        doubted(screen.of("MISSING"))
        never_back(screen, 2, 3)


def test_a_database_that_was_replaced_is_another_one(waiting: World, tmp_path: Path) -> None:
    """As a person who puts a copy back under a runner: it must not pass for the one that was watched before."""
    waiting.start()
    database, other = waiting.home / "agent.db", waiting.home / "other.db"
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(other)) as copy:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")
    enqueue(waiting, "three")
    with watched(waiting.home, tmp_path) as screen:
        screen.until("live, running", "queued 3 ", "three")
        os.replace(other, database)
        for suffix in ("-wal", "-shm"):
            Path(f"{database}{suffix}").unlink(missing_ok=True)
        screen.until("this is another database", "queued 2", lacks="three")

        doubted([picture for picture in screen.pictures if "REPLACED" in picture])  # it stands for a second alone
        first = next(place for place, picture in enumerate(screen.pictures) if "this is another" in picture)
        assert not [picture for picture in screen.pictures[first:] if "three" in picture]


def test_a_lock_held_for_long_is_said_and_a_kill_is_not_held_up_by_it(waiting: World, tmp_path: Path) -> None:
    """Somebody sits on the write lock: the runner cannot record its heart, the kill stands in the file at once."""
    waiting.start()
    with watched(waiting.home, tmp_path) as screen:
        screen.until("live, running", "queued 2 ")
        with closing(sqlite3.connect(waiting.home / "agent.db", isolation_level=None)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            screen.until("RUNNER   live, ", "  DATABASE LOCKED  by pid ", "queued 2 ")
            screen.until("live, PARKED  ")
            screen.tmux.press("k")
            screen.told("by the STOP file; but")
            assert (waiting.home / "STOP").exists()
            holder.execute("ROLLBACK")
        screen.until("live, PARKED", "STOPPED  by ", lacks="DATABASE LOCKED")
        waiting.afk("resume")
        screen.until("live, running", "STOP not set", "queued 2 ")

        assert not any("SILENT" in picture for picture in screen.pictures) or screen.longest_silence_ms() > LATE_MS, (
            "nobody is told to kill one that lives"
        )
        never_back(screen, 2)


def test_a_database_that_nobody_may_read_is_locked_and_then_read(afk: World, tmp_path: Path) -> None:
    """The console is started while another program has the file for itself."""
    queue_two(afk)
    with closing(sqlite3.connect(afk.home / "agent.db", isolation_level=None)) as holder:
        holder.execute("PRAGMA locking_mode = EXCLUSIVE")
        holder.execute("BEGIN EXCLUSIVE")
        holder.execute("UPDATE board SET change_seq = change_seq")
        with watched(afk.home, tmp_path) as screen:
            screen.until("DATABASE LOCKED", "unknown")
            holder.execute("COMMIT")
            holder.close()
            screen.told("the database is back after")
            screen.until("never started", "queued 2 ")

            assert not [picture for picture in screen.of("LOCKED") if QUEUED.search(picture)]


def test_a_database_of_a_newer_program_is_not_read_until_it_fits_again(waiting: World, tmp_path: Path) -> None:
    with watched(waiting.home, tmp_path) as screen, closing(sqlite3.connect(waiting.home / "agent.db")) as other:
        screen.until("never started", "queued 2 ")
        now = other.execute("PRAGMA user_version").fetchone()[0]
        other.execute("PRAGMA user_version = 99")
        screen.until("DATABASE NEWER", "queued 2?")
        other.execute(f"PRAGMA user_version = {now}")
        screen.told("the database is back after")
        screen.until("never started", "queued 2 ")

        doubted(screen.of("NEWER"))


def test_a_database_of_an_older_program_is_read_once_the_runner_has_upgraded_it(afk: World, tmp_path: Path) -> None:
    """The console is the newer one; the runner that is started brings the file up to date under it."""
    database = afk.home / "agent.db"
    for left in afk.home.glob("agent.db*"):
        left.unlink()
    with closing(sqlite3.connect(database, isolation_level=None)) as older:
        older.execute("PRAGMA journal_mode = WAL")
        for number, script in store._migrations()[:-1]:
            for statement in store._statements(script):
                older.execute(statement)
            older.execute(f"PRAGMA user_version = {number}")
        older.execute(f"PRAGMA application_id = {store.APPLICATION_ID}")
    with watched(afk.home, tmp_path) as screen:
        screen.until("DATABASE OLDER", "unknown")
        afk.start()
        screen.told("the database is back after")
        screen.until("live, running", "queued 0 ")

        assert not [picture for picture in screen.of("OLDER") if QUEUED.search(picture)]


def test_a_file_that_is_no_database_any_more_is_damaged_until_a_sound_one_is_put_back(
    waiting: World, tmp_path: Path
) -> None:
    database, sound = waiting.home / "agent.db", waiting.home / "sound.db"
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(sound)) as copy:
        source.backup(copy)
    with closing(Database.open(sound)) as more:
        make_job(more.connection, key="three", task="work")
        more.checkpoint(truncate=True)
    with watched(waiting.home, tmp_path) as screen:
        screen.until("never started", "queued 2 ")
        noise = waiting.home / "noise.db"
        noise.write_bytes(b"this was a database once\n" * 400)
        os.replace(noise, database)
        for suffix in ("-wal", "-shm"):
            Path(f"{database}{suffix}").unlink(missing_ok=True)
        screen.until("DATABASE DAMAGED", "queued 2?")
        os.replace(sound, database)
        screen.until("this is another database", "queued 3 ")

        doubted(screen.of("DATABASE"))
        never_back(screen, 2, 3)
