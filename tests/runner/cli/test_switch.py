"""Kill, resume, pause: what is set, and what was seen of the runner."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Iterator

import pytest

from runner.cli import switch
from runner.errors import Exit
from runner.home import Home
from runner.store import runners
from runner.store.runners import RunState
from runner.units import SystemClock
from tests.runner.cli.world import Afk, bury, queue, start_runner


@pytest.fixture
def lock(home: Home) -> Iterator[None]:
    """The home's lock, held as a runner holds it."""
    fd = os.open(home.lock, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)
    yield
    os.close(fd)


def test_kill_sets_file_and_row_and_says_that_nobody_runs(afk: Afk, home: Home, db: sqlite3.Connection) -> None:
    answer = afk("kill", "--reason", "the bill looks wrong")

    assert answer.code == 0
    assert answer.out.splitlines() == [
        "stopped by file and row",
        "no runner is live; nothing will start until `afk-runner resume`",
    ]
    assert home.stop_set()
    assert db.execute("SELECT value, reason FROM control WHERE key = 'stop'").fetchone() == (
        "1",
        "the bill looks wrong",
    )


def test_kill_now_leaves_no_grace(afk: Afk, db: sqlite3.Connection) -> None:
    afk("kill")
    afk("kill", "--now")

    assert db.execute("SELECT value FROM control WHERE key = 'stop'").fetchone() == ("2",)


def test_kill_works_without_a_database(afk: Afk, home: Home) -> None:
    home.db.unlink()

    answer = afk("kill", "--json")

    assert answer.code == 0
    assert home.stop_set()
    assert answer.json["stop"] == {"set": ["file"], "already": False, "now": False}
    assert "there is no database" in answer.json["refused"][0]["reason"]
    assert answer.json["runner"]["health"] == "unknown"


def test_kill_on_a_broken_database_still_stops(afk: Afk, home: Home) -> None:
    home.db.write_bytes(b"this is not a database" * 100)

    answer = afk("kill")

    assert answer.code == 0
    assert home.stop_set()
    assert "is not a sound database" in answer.err


def test_kill_does_not_wait_long_for_one_who_keeps_the_database(
    afk: Afk, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The STOP file holds already; whoever typed it wants to know."""
    monkeypatch.setattr("runner.commands.switch.ROW_WAIT_S", 0.05)
    fd = os.open(f"{home.db}-turn-a", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        answer = afk("kill")
    finally:
        os.close(fd)

    assert answer.code == 0
    assert answer.out.startswith("stopped by file\n")
    assert "for more than 0.05s; the row is not written, the STOP file holds" in answer.err


def test_kill_that_can_set_nothing_says_so(afk: Afk, home: Home) -> None:
    answer = afk("kill", "--home", str(home.root / "nowhere"))

    assert answer.code == Exit.FILES
    assert "NOT STOPPED" in answer.err


@pytest.mark.usefixtures("lock")
def test_kill_waits_for_the_runner_to_act(afk: Afk, home: Home, db: sqlite3.Connection) -> None:
    """What is said is what the runner wrote down, not what was sent."""
    start_runner(db)

    def act() -> None:
        with sqlite3.connect(home.db, isolation_level=None) as own:
            while not home.stop_set() or own.execute("SELECT seq FROM control WHERE key = 'stop'").fetchone()[0] < 1:
                time.sleep(0.005)
            now = SystemClock().now()
            runners.move(own, "r1", state=RunState.PARKED, reason="stop", stop_seq=1, now=now)
        own.close()

    runner = threading.Thread(target=act)
    runner.start()
    answer = afk("kill", "--json")
    runner.join()

    assert answer.json["runner"] == {"health": "live", "state": "parked", "pid": 4121, "acted": True}


@pytest.mark.usefixtures("lock")
def test_kill_of_a_runner_that_does_not_act_names_the_way_out(
    afk: Afk, db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switch, "REACTS_WITHIN_S", 0.1)
    start_runner(db, heartbeat_at=SystemClock().now() - 60_000)

    answer = afk("kill")

    assert "runner pid 4121 (silent) has not acted on it" in answer.out
    assert "`afk-runner kill --force` ends it" in answer.out


@pytest.mark.usefixtures("lock")
def test_resume_says_that_a_runner_is_silent(afk: Afk, db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """It wrote down that it runs before it hung; the stop is lifted all the same."""
    monkeypatch.setattr(switch, "REACTS_WITHIN_S", 0.0)
    start_runner(db, heartbeat_at=SystemClock().now() - 60_000)
    afk("kill")

    answer = afk("resume")

    assert answer.code == 0
    assert "runner pid 4121 is silent (hung or frozen); `afk-runner kill --force` ends it" in answer.out
    assert "is running" not in answer.out


def test_resume_clears_every_source(afk: Afk, home: Home) -> None:
    afk("kill")

    answer = afk("resume", "--json")

    assert answer.code == 0
    assert answer.json["cleared"] == ["file", "row"]
    assert answer.json["remaining"] == []
    assert not home.stop_set()


def test_a_resume_of_what_is_not_stopped_leaves_no_word(afk: Afk, db: sqlite3.Connection) -> None:
    assert afk("resume").code == 0
    assert db.execute("SELECT count(*) FROM events WHERE event = 'stop.cleared'").fetchone() == (0,)

    afk("kill")
    afk("resume")

    assert db.execute("SELECT count(*) FROM events WHERE event = 'stop.cleared'").fetchone() == (1,)


def test_resume_names_what_remains(afk: Afk, home: Home, db: sqlite3.Connection) -> None:
    """A STOP directory with something in it was made by a person; nobody deletes that."""
    home.stop.mkdir()
    (home.stop / "why").write_text("I mean it")

    answer = afk("resume")

    assert answer.code == Exit.REFUSED
    assert "remains file: " in answer.err
    assert home.stop_set()


def test_resume_without_a_database_clears_the_file_and_names_the_row(afk: Afk, home: Home) -> None:
    home.stop.touch()
    home.db.unlink()

    answer = afk("resume")

    assert answer.code == Exit.REFUSED
    assert "cleared file" in answer.out
    assert "remains row: there is no database: put it back" in answer.err
    assert not home.stop_set()


def test_a_paused_task_says_so(afk: Afk, home: Home, db: sqlite3.Connection) -> None:
    key = queue(home, db)

    assert afk("pause", "digest", "--reason", "the feed is down").out == "paused digest\n"

    assert "task digest is paused" in afk("why", key).out
    said = afk("why", key).out.rstrip("\n")
    assert afk("why", key, "--json").json == {"key": key, "status": "pending", "why": said}
    again = afk("pause", "digest")
    assert (again.code, again.err) == (Exit.REFUSED, "digest is paused already\n")
    assert afk("unpause", "digest").out == "unpaused digest\n"
    assert afk("unpause", "digest").code == Exit.REFUSED


def test_pausing_a_misspelt_task_is_refused(afk: Afk) -> None:
    answer = afk("pause", "digset")

    assert answer.code == Exit.REFUSED
    assert 'did you mean "digest"?' in answer.err


def test_a_task_can_be_paused_while_the_configuration_is_refused(afk: Afk, home: Home) -> None:
    home.config.write_text("nonsense")

    answer = afk("pause", "digest")

    assert answer.code == 0
    assert "was not checked" in answer.err


def test_a_breaker_is_tripped_and_reset_by_hand(afk: Afk) -> None:
    name = "offline/offline/extract"

    assert afk("breaker", "trip", name, "--reason", "bad answers").code == 0
    (row,) = afk("breaker", "--json").json
    assert (row["name"], row["state"], row["reason"], row["retry_at"]) == (name, "open", "bad answers", None)
    assert "by hand" in afk("breaker").out

    assert afk("breaker", "reset", name, "--reason", "fine again").code == 0
    assert afk("breaker", "--json").json[0]["state"] == "closed"


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["trip", "offline/x"], Exit.USAGE),
        (["trip"], Exit.USAGE),
        (["burn", "offline/x"], Exit.USAGE),
        (["trip", "offline", "--reason", "r"], Exit.USAGE),
        (["trip", "oflfine/x", "--reason", "r"], Exit.REFUSED),
        (["reset", "offline/x", "--reason", "r"], Exit.REFUSED),
    ],
)
def test_a_breaker_is_not_turned_by_accident(afk: Afk, argv: list[str], code: Exit) -> None:
    assert afk("breaker", *argv).code == code
    assert afk("breaker", "--json").json == []


def test_acts_leave_an_event_that_says_who(afk: Afk, home: Home, db: sqlite3.Connection) -> None:
    bury(home, db, key="k")
    for act in (["kill"], ["resume"], ["replay", "k"], ["pause", "digest"], ["cancel", "k"], ["remove", "k"]):
        afk(*act)

    events = {row["event"]: row for row in afk("logs", "--json").json}

    expected = {"stop.set", "stop.cleared", "job.replay", "task.pause", "job.cancel", "job.remove"}
    assert expected <= set(events)
    assert all("@cli" in events[event]["text"] for event in expected)


def test_pause_and_unpause_speak_to_programs(afk: Afk) -> None:
    """What changed nothing says so in the answer and in the exit code."""
    answers = [afk(verb, "digest", "--json") for verb in ("pause", "pause", "unpause", "unpause")]

    assert [answer.code for answer in answers] == [Exit.OK, Exit.REFUSED, Exit.OK, Exit.REFUSED]
    assert [answer.json for answer in answers] == [
        {"name": "digest", "paused": paused, "changed": changed}
        for paused, changed in [(True, True), (True, False), (False, True), (False, False)]
    ]
