"""A force ends nothing that it cannot tell for certain to be a runner of this home."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from runner import telling, upkeep
from runner.commands import Door, proof
from runner.commands.force import Targets
from runner.home import Home
from runner.lock import HomeLock, holder_of
from runner.snapshot.state import runner_view
from runner.store import controls, runners
from runner.store.db import Database
from runner.units import HOUR_MS, UnixMs
from runner.views import Health
from runner.work import forced
from runner.work.forced import Part, Process, below
from runner.work.processes import boot_id, running, start_time
from tests.e2e.world import eventually
from tests.factories import NOW, ManualClock, a_runner, make_runner, make_running

LOCKED = (
    "import sys, time; from pathlib import Path; from runner.lock import HomeLock; lock = HomeLock(Path(sys.argv[1]))"
)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.create()
    return made


@pytest.fixture
def db(home: Home) -> Iterator[sqlite3.Connection]:
    opened = Database.open(home.db, create=True)
    yield opened.connection
    opened.close()


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was asked to end may have to wait for a core to do it."""
    monkeypatch.setattr(forced, "TERM_S", 120.0)
    monkeypatch.setattr(forced, "GONE_S", 60.0)


@pytest.fixture
def door(home: Home) -> Iterator[Door]:
    made = Door(home, clock=ManualClock(), by="ada@test")
    yield made
    made.close()


@pytest.fixture
def holder(home: Home) -> Iterator[subprocess.Popen[str]]:
    """Holds the home's lock as a runner does."""
    with subprocess.Popen(
        [sys.executable, "-c", f"{LOCKED}; lock.take(); print('held', flush=True); time.sleep(600)", str(home.lock)],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def told(db: sqlite3.Connection, pid: int, **other: str) -> None:
    """The row of a runner that is this process, but for what is given."""
    make_runner(db, pid=pid)
    row = {"pid_started": start_time(pid), "boot": boot_id(), "host": socket.gethostname(), **other}
    db.execute("UPDATE runners SET pid_started = :pid_started, boot = :boot, host = :host", row)


def test_a_runner_is_ended_and_its_job_is_named(
    db: sqlite3.Connection, door: Door, holder: subprocess.Popen[str]
) -> None:
    told(db, holder.pid)
    make_running(db, key="digest-1", attempts=1)

    forced = door.force()

    assert holder.wait(60) == -15
    assert [(one.process.pid, one.by) for one in forced.ended] == [(holder.pid, "TERM")]
    assert forced.whole
    assert "left 1 lease, which the next runner takes back: digest-1 (attempt 2)" in proof(forced)
    assert db.execute("SELECT level, text FROM events WHERE event = 'runner.forced'").fetchall() == [
        ("warn", f"ended from outside by ada@test: pid {holder.pid} by TERM, and 0 processes of it")
    ]


def test_a_runner_that_was_forced_says_so_and_its_next_start_is_no_news(
    db: sqlite3.Connection, door: Door, holder: subprocess.Popen[str], home: Home
) -> None:
    """It could not say goodbye. Its job is taken back as after any other end, and the stop goes on."""
    told(db, holder.pid)
    db.execute("UPDATE runners SET heartbeat_at = ?", (NOW - HOUR_MS,))
    make_running(db, key="digest-1")

    door.force()

    row = runners.latest(db)
    assert row is not None
    assert (row.ended, row.heartbeat_at) == ("forced by ada@test at 2030-03-17T17:46:40.000Z", NOW)
    assert runner_view(db, home, now=NOW).health is Health.STOPPED
    telling.vanished(db, me=a_runner(id="runner-2"), beat=None, now=UnixMs(NOW + HOUR_MS))
    assert upkeep.take_back(db, runner="runner-2", now=NOW) == 1
    assert db.execute("SELECT key FROM alerts").fetchall() == [("stop",)]
    assert db.execute("SELECT event FROM events WHERE event = 'runner.lost'").fetchall() == []
    assert home.stop_set()
    assert controls.stop_row(db).is_set


def test_who_takes_the_time_to_say_goodbye_was_forced_all_the_same(
    db: sqlite3.Connection, door: Door, holder: subprocess.Popen[str]
) -> None:
    """It heard the TERM; other rows of its pid, or of its process before it took over, stay as they are."""
    told(db, holder.pid)
    runners.leave(db, "runner-1", ended="signal", now=NOW)
    make_runner(db, id="earlier", pid=holder.pid, ended="signal")
    db.execute(
        "INSERT INTO runners SELECT 'stood by', pid, pid_started, boot, host, version, state, reason, started_at, "
        "heartbeat_at, stop_seq, 'took over', note FROM runners WHERE id = 'runner-1'"
    )

    door.force()  # finds it by the lock

    ended = dict(db.execute("SELECT id, substr(ended, 1, 9) FROM runners").fetchall())
    assert ended == {"runner-1": "forced by", "earlier": "signal", "stood by": "took over"}


def test_being_forced_is_no_crash(
    db: sqlite3.Connection, door: Door, holder: subprocess.Popen[str], home: Home
) -> None:
    told(db, holder.pid)
    starts = [{"at": NOW, "pid": pid, "clean": False} for pid in (holder.pid, 1, holder.pid)]
    home.starts.write_text(json.dumps({"tripped_at": None, "starts": starts}))

    door.force()

    assert [one["clean"] for one in json.loads(home.starts.read_text())["starts"]] == [False, False, True]


def test_one_that_went_on_its_own_is_not_said_to_be_forced(
    db: sqlite3.Connection, door: Door, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It crashed between the look and the signal."""
    told(db, holder.pid)
    asked = door.force_targets

    def crashed() -> Targets:
        targets = asked()
        holder.kill()
        holder.wait()
        return targets

    monkeypatch.setattr(door, "force_targets", crashed)

    door.force()

    assert [row.ended for row in runners.present(db)] == [None]


@pytest.mark.parametrize("other", ["pid_started", "boot", "host"])
def test_a_pid_that_means_another_process_is_not_signalled(
    db: sqlite3.Connection, door: Door, other: str, home: Home
) -> None:
    """The row is of a runner that vanished; its pid went to a process of somebody else."""
    with subprocess.Popen(["sleep", "600"]) as innocent:
        told(db, innocent.pid, **{other: "another"})

        forced = door.force()

        assert innocent.poll() is None
        assert forced.ended == ()
        assert [row.ended for row in runners.present(db)] == [None]
        assert forced.whole
        assert home.stop_set()
        innocent.kill()


def test_a_runner_on_another_host_is_refused(db: sqlite3.Connection, door: Door, home: Home) -> None:
    """Somebody holds the lock whose pid means nothing here."""
    told(db, os.getppid(), host="elsewhere")
    lock = HomeLock(home.lock)
    assert lock.take()
    home.lock.write_text("1\n")  # as a container counts

    forced = door.force()
    lock.close()

    assert forced.ended == ()
    assert not forced.whole
    assert forced.refused == (
        f"runner pid {os.getppid()} is on elsewhere, not here on {socket.gethostname()}: do it there",
    )


def test_it_never_ends_itself(db: sqlite3.Connection, door: Door, home: Home) -> None:
    lock = HomeLock(home.lock)
    assert lock.take()
    told(db, os.getpid())

    forced = door.force()
    lock.close()

    assert forced.ended == ()
    assert "this very process is one of them" in forced.refused[0]


def test_a_runner_that_was_not_shown_is_left_alone(
    db: sqlite3.Connection, door: Door, holder: subprocess.Popen[str]
) -> None:
    told(db, holder.pid)
    shown = replace(door.force_targets(), runners=(Process(pid=1, started="1", part=Part.RUNNER),))

    forced = door.force(shown=shown)

    assert holder.poll() is None
    assert "was not among those shown" in forced.refused[0]


def test_who_holds_the_lock_is_known_without_a_database(door: Door, home: Home, holder: subprocess.Popen[str]) -> None:
    assert holder_of(home.lock) == holder.pid

    targets = door.force_targets()

    assert [one.pid for one in targets.runners] == [holder.pid]
    assert "no database" in targets.unread
    assert door.force().ended[0].process.pid == holder.pid
    assert holder_of(home.lock) is None


def test_what_works_for_a_runner_that_came_since_is_left_alone(db: sqlite3.Connection, door: Door, home: Home) -> None:
    """A supervisor started it again while the old one was being ended; what nobody holds the home for is ended."""
    words = f"[sys.executable, '-c', 'import time; time.sleep(600)', 'runner.work.worker', {str(home.tasks)!r}]"
    spawn = f"import subprocess; one = subprocess.Popen({words})"
    script = f"{LOCKED}; lock.take(); {spawn}; print(one.pid, flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", script, str(home.lock)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        worker = int(other.stdout.readline())
        eventually(lambda: running("runner.work.worker", str(home.tasks)))
        mine = below([Process(pid=other.pid, started=start_time(other.pid) or "", part=Part.RUNNER)], home)
        others = below([], home)
        other.kill()
        other.wait()
        left = below([], home)

        assert [one.pid for one in mine] == [worker]
        assert others == ()
        assert [one.pid for one in left] == [worker]
        assert [one.process.pid for one in door.force().ended] == [worker]


def test_a_runner_that_said_goodbye_is_none(db: sqlite3.Connection, door: Door) -> None:
    with subprocess.Popen(["sleep", "600"]) as innocent:
        told(db, innocent.pid)
        runners.leave(db, "runner-1", ended="signal", now=ManualClock().now())

        assert door.force_targets().processes == ()
        innocent.kill()
