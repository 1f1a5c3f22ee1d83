"""A runner that lives and whose database somebody else has locked: it is told as such, and never as one that hangs."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from runner.check import Grade, checkup
from runner.doctor import state
from runner.doctor.look import Look
from runner.heartbeat import HeartbeatFile
from runner.home import Home
from runner.lock import HomeLock, kernel_locks
from runner.snapshot import Health, Reader, RunnerView, RunState
from runner.snapshot.locked import unwritten
from runner.store.turnstile import Turnstile
from runner.units import UnixMs
from runner.views import LATE_MS, SILENT_MS, UNSAID_MS
from tests.factories import NOW, make_job, make_runner, new_database

HOLD = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""
needs_the_kernel = pytest.mark.skipif(kernel_locks() is None, reason="this kernel does not tell who holds a lock")


@pytest.fixture
def db(home: Home) -> Iterator[sqlite3.Connection]:
    """Of a home that is held by this process, whose heartbeat in the database is of `NOW`."""
    lock = HomeLock(home.lock)
    assert lock.take()
    with closing(new_database(home.db)) as database:
        make_runner(database.connection, pid=os.getpid())
        yield database.connection
    lock.close()


@contextmanager
def locked_by_another(home: Home) -> Iterator[str]:
    """Who has it locked, as a sentence names them."""
    command = [sys.executable, "-c", HOLD, str(home.db)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        yield f"pid {holder.pid} ("
        holder.communicate()


def beat(home: Home, *, at: int, fault: str | None = None) -> None:
    heart = HeartbeatFile(home.heartbeat)
    heart.beat(fault=fault)
    heart.close()
    os.utime(home.heartbeat, (at / 1000, at / 1000))


def seen(home: Home, *, at: int) -> RunnerView:
    with closing(Reader(home)) as reader:
        return reader.vitals(now=UnixMs(at)).runner


@needs_the_kernel
@pytest.mark.parametrize("fault", [None, "the database cannot be written: agent.db is locked by another process"])
@pytest.mark.parametrize("after_ms", [LATE_MS + 1_000, SILENT_MS + 4_000])
def test_it_lives_and_who_locks_its_database_is_named(
    home: Home, db: sqlite3.Connection, after_ms: int, fault: str | None
) -> None:
    """From the first late heartbeat on, and also once the runner has parked for it."""
    make_job(db, key="waits", created_at=NOW)
    now = UnixMs(NOW + after_ms)
    beat(home, at=now - 1_000, fault=fault)
    with locked_by_another(home) as who:
        view = seen(home, at=now)
        told = checkup(home, now=now, installed=(), asleep_s=0.0, up_s=10_000)
        found = next(iter(state.state(Look(home=home, environ={}, now=now))))

    assert (view.health, view.heartbeat_age_ms, view.trusted) == (Health.LIVE, 1_000, True)
    assert view.unwritten is not None
    assert (view.unwritten.locked, view.unwritten.for_ms) == (True, after_ms)
    assert f"the database is locked by {who}" in view.unwritten.text
    assert view.row is not None
    assert view.row.reason == view.unwritten.text
    assert view.row.state is (RunState.PARKED if fault else RunState.RUNNING)
    assert told.grade is Grade.WARNING
    assert f"pid {os.getpid()} lives, and the database is locked by {who}" in told.line()
    assert (found.level.value, found.name) == ("warn", "runner")
    assert "kill" not in (found.mend or "")


@needs_the_kernel
def test_why_names_the_lock(home: Home, db: sqlite3.Connection) -> None:
    make_job(db, key="waits")
    beat(home, at=NOW + 7_000)
    with locked_by_another(home) as who, closing(Reader(home)) as reader:
        assert f"waits waits: the database is locked by {who}" in reader.job("waits", now=UnixMs(NOW + 8_000)).why


@pytest.mark.parametrize("fault", [None, "the database cannot be written: it is locked"])
def test_one_that_hangs_is_told_as_soon_as_ever(home: Home, db: sqlite3.Connection, fault: str | None) -> None:
    """Its file is as old as its row, locked or not."""
    beat(home, at=NOW, fault=fault)
    with locked_by_another(home):
        assert seen(home, at=NOW + LATE_MS).health is Health.LIVE
        assert seen(home, at=NOW + LATE_MS + 1).health is Health.LATE
        assert seen(home, at=NOW + SILENT_MS + 1).health is Health.SILENT


@pytest.mark.parametrize(
    ("change", "file_at"),
    [
        ("UPDATE runners SET pid = pid + 1", NOW + SILENT_MS),
        ("UPDATE runners SET ended = 'lost'", NOW + SILENT_MS),
        ("SELECT 1", NOW + 3_600_000),  # a time that has not come yet
        ("SELECT 1", NOW),
    ],
)
def test_a_file_that_is_not_of_now_or_not_of_the_runner_vouches_for_nobody(
    home: Home, db: sqlite3.Connection, change: str, file_at: int
) -> None:
    db.execute(change)
    home.lock.write_text("1\n")  # not who wrote the file
    beat(home, at=file_at)

    assert seen(home, at=NOW + SILENT_MS + 1_000).health is Health.SILENT


@pytest.mark.parametrize("change", ["UPDATE runners SET pid = pid + 1", "UPDATE runners SET ended = 'lost'"])
def test_who_has_just_taken_the_home_starts_whoever_held_it_before(
    home: Home, db: sqlite3.Connection, change: str
) -> None:
    db.execute(change)
    beat(home, at=NOW + SILENT_MS)

    view = seen(home, at=NOW + SILENT_MS + 1_000)

    assert (view.health, view.row and (view.row.state, view.row.pid)) == (Health.LIVE, (RunState.STARTING, os.getpid()))


def test_it_is_not_believed_for_ever_without_a_word_of_what_is_wrong(home: Home, db: sqlite3.Connection) -> None:
    """A runner that cannot write says so in the file long before."""
    beat(home, at=NOW + UNSAID_MS)
    assert seen(home, at=NOW + UNSAID_MS).health is Health.LIVE

    assert seen(home, at=NOW + UNSAID_MS + 1).health is Health.SILENT


@pytest.mark.parametrize("text", ["[" * 4_000, '{"pid": Infinity, "fault": null}', '{"pid": 1e999}', "[]", "\0"])
def test_no_heartbeat_file_fells_a_look(home: Home, db: sqlite3.Connection, text: str) -> None:
    home.heartbeat.write_text(text)
    os.utime(home.heartbeat, ((NOW + SILENT_MS) / 1000,) * 2)

    assert seen(home, at=NOW + SILENT_MS + 1_000).health is Health.SILENT


@needs_the_kernel
def test_who_holds_the_turn_of_our_own_programs_is_named(home: Home, db: sqlite3.Connection) -> None:
    turnstile = Turnstile(home.root / "agent.db-turn-a", home.root / "agent.db-turn-b")
    with turnstile.turn(1.0):
        found = unwritten(home.db, runner=1, for_ms=8_000)
    turnstile.close()

    assert found.locked
    assert f"pid {os.getpid()} (" in found.text


@needs_the_kernel
def test_a_write_of_its_own_that_hangs_is_no_lock_of_somebody(home: Home, db: sqlite3.Connection) -> None:
    db.execute("BEGIN IMMEDIATE")
    found = unwritten(home.db, runner=os.getpid(), for_ms=8_000)
    db.execute("ROLLBACK")

    assert (found.locked, found.by) == (False, None)
    assert found.text == "the database does not finish a write of the runner: the runner has written nothing for 8s"


def test_where_the_kernel_says_nothing_it_is_taken_for_locked(
    home: Home, db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.snapshot.locked.kernel_locks", lambda: None)

    found = unwritten(home.db, runner=1, for_ms=8_000)

    assert (found.locked, found.by) == (True, None)
    assert found.text == "the database is locked, or its disk gives no answer: the runner has written nothing for 8s"


@needs_the_kernel
def test_nobody_is_blamed_who_only_reads(home: Home, db: sqlite3.Connection) -> None:
    db.execute("BEGIN")
    db.execute("SELECT count(*) FROM jobs").fetchone()
    found = unwritten(home.db, runner=1, for_ms=8_000)
    db.execute("ROLLBACK")

    assert (found.locked, found.text) == (False, "the database is not written: the runner has written nothing for 8s")
