"""Kill, resume, pause: what is set, and what was seen of the runner."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Iterator

import pytest

from runner.cli import switch
from runner.commands import switch as commands_switch
from runner.errors import Exit, StoreError
from runner.home import Home
from runner.lock import HomeLock
from runner.store import controls, runners
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


@pytest.fixture
def nothing_settable(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a file system that is mounted read-only; tests run as root, whom no mode holds back."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Home, "write_stop", refuse)
    home.db.unlink()


@pytest.mark.usefixtures("nothing_settable")
def test_kill_that_can_set_nothing_names_no_process_that_is_long_gone(afk: Afk, home: Home) -> None:
    """The lock file keeps the pid of the last runner for ever, and the pid may be anybody's by now."""
    home.lock.write_text(f"{os.getpid()}\n")

    answer = afk("kill")

    assert answer.code == Exit.FILES
    assert "NOT STOPPED" in answer.err
    assert "no runner of this home lives, so there is none to end" in answer.err
    assert str(os.getpid()) not in answer.err


@pytest.mark.usefixtures("nothing_settable")
def test_kill_that_can_set_nothing_names_the_runner_that_lives(afk: Afk, home: Home) -> None:
    lock = HomeLock(home.lock)
    assert lock.take()
    try:
        said = afk("kill").err
    finally:
        lock.close()

    assert f"end the runner with `kill {os.getpid()}`" in said


@pytest.mark.usefixtures("nothing_settable", "lock")
def test_kill_that_can_set_nothing_says_who_knows_the_runner(afk: Afk, home: Home) -> None:
    """Held, by a process whose pid was not written down or is counted in another container."""
    assert f"end the runner: `fuser {home.lock}` names it" in afk("kill").err


def test_what_the_first_kill_said_stays_in_the_file(afk: Afk, home: Home) -> None:
    """As it does in the row: the second only takes the grace away."""
    afk("kill", "--reason", "the bill looks wrong\nby nobody")
    afk("kill", "--now")

    words = controls.stop_words(home.stop)
    assert words is not None
    assert words.reason == r"the bill looks wrong\nby nobody"
    assert words.by.endswith("@cli")


def test_a_file_made_by_hand_takes_the_words_of_a_kill(afk: Afk, home: Home) -> None:
    home.stop.write_text("maintenance until noon")

    afk("kill", "--reason", "lunch")

    assert home.stop.read_text().startswith("lunch\nby ")


def test_a_row_set_by_hand_has_a_reason_and_nobody_s_name(afk: Afk, db: sqlite3.Connection) -> None:
    """Who and when in the row are of the `resume` before it."""
    afk("kill", "--reason", "lunch")
    afk("resume")
    db.execute("UPDATE control SET value = '1' WHERE key = 'stop'")

    stop = afk("status", "--json").json["stop"]

    assert stop == {"set": True, "sources": ["row"], "reason": controls.BY_HAND, "by": None, "at": None}
    assert "STOPPED (row): the control row, set by hand; " in afk("status").out
    assert "None" not in afk("status").out


def test_a_kill_after_a_hand_is_kept_with_its_reason(afk: Afk, db: sqlite3.Connection) -> None:
    db.execute("UPDATE control SET value = '1' WHERE key = 'stop'")

    assert afk("kill", "--reason", "the bill looks wrong").out.startswith("was stopped already, and is stopped by")

    stop = afk("status", "--json").json["stop"]
    assert (stop["reason"], stop["by"].endswith("@cli")) == ("the bill looks wrong", True)


@pytest.mark.usefixtures("lock")
def test_kill_waits_for_the_runner_to_act(
    afk: Afk, home: Home, db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is said is what the runner wrote down, not what was sent."""
    monkeypatch.setattr(switch, "REACTS_WITHIN_S", 60.0)
    start_runner(db)

    def act() -> None:
        with sqlite3.connect(home.db, isolation_level=None, timeout=60) as own:
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


@pytest.fixture
def unwritable(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a full disk, or where another program keeps the database locked."""

    def refuse(*_: object, **__: object) -> None:
        raise StoreError("the database is locked by another process; try again")

    monkeypatch.setattr(commands_switch.SwitchActs, "_transact", refuse)


@pytest.mark.usefixtures("unwritable")
def test_resume_names_no_row_that_says_it_is_off(afk: Afk, home: Home) -> None:
    """It cannot be written and need not be: the file alone stopped the home."""
    assert afk("kill").out.startswith("stopped by file\n")

    answer = afk("resume")

    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("cleared file\n")
    assert not home.stop_set()
    assert afk("resume").out.startswith("no stop of ours was set\n")


@pytest.mark.usefixtures("unwritable")
def test_resume_names_a_row_that_is_set_and_cannot_be_cleared(afk: Afk, home: Home, db: sqlite3.Connection) -> None:
    controls.set_stop(db, controls.STOP, reason="lunch", by="ada@test", now=SystemClock().now())
    home.stop.touch()

    answer = afk("resume")

    assert answer.code == Exit.REFUSED
    assert answer.out == "cleared file\n"
    assert "remains row: the database is locked by another process" in answer.err
    assert afk("resume").code == Exit.FILES, "nothing at all was cleared"


@pytest.mark.usefixtures("lock", "unwritable")
def test_resume_names_the_environment_on_a_database_it_cannot_write(afk: Afk, db: sqlite3.Connection) -> None:
    in_environment(db)

    answer = afk("resume")

    assert (answer.code, answer.out) == (Exit.REFUSED, "nothing was cleared\n")
    assert "remains env: AFK_STOP is set" in answer.err


def in_environment(db: sqlite3.Connection) -> None:
    """A runner that was started with AFK_STOP; whoever calls holds the home's lock."""
    start_runner(db, state=RunState.PARKED, reason="stop")
    controls.put_settings(db, {"stop_env": "1"}, now=SystemClock().now())


@pytest.mark.usefixtures("lock")
def test_what_resume_cannot_lift_is_not_said_to_be_lifted_by_it(afk: Afk, home: Home, db: sqlite3.Connection) -> None:
    in_environment(db)
    way = "AFK_STOP is unset in the runner's environment and the runner restarted"

    queued = afk("enqueue", "digest", "--key", "k")
    assert queued.err == f"nothing starts: AFK_STOP in the runner's environment; it holds until {way}\n"
    assert afk("why", "k").out.rstrip().endswith(f"(env: AFK_STOP in the runner's environment) until {way}.")

    home.stop.touch()
    assert f"until {way}, then `afk-runner resume`" in afk("why", "k").out
    assert f"it holds until {way}, then `afk-runner resume`" in afk("enqueue", "digest", "--key", "k2").err


def test_resume_says_what_to_do_with_a_folder(afk: Afk, home: Home) -> None:
    (home.stop / "x").mkdir(parents=True)

    answer = afk("resume")

    assert (answer.code, answer.out) == (Exit.REFUSED, "nothing was cleared\n")
    assert f"remains file: {home.stop} cannot be removed (Directory not empty); remove it by hand\n" in answer.err


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


@pytest.mark.parametrize("verb", [("kill",), ("pause", "digest"), ("breaker", "trip", "offline/offline/extract")])
def test_no_byte_of_a_reason_keeps_an_act_from_being_done(afk: Afk, verb: tuple[str, ...]) -> None:
    """A byte that is no UTF-8, as another terminal's encoding sends it; a kill had stopped half."""
    assert afk(*verb, "--reason", "bill \udcff").code == Exit.OK

    assert "bill \ufffd" in afk("status").out + afk("breaker").out


@pytest.mark.parametrize(
    "verb", [("cancel",), ("why",), ("replay",), ("jobs", "--task"), ("alerts", "close", "--reason", "x")]
)
def test_a_name_that_is_no_text_is_nothings(afk: Afk, verb: tuple[str, ...]) -> None:
    answer = afk(*verb, "\udcff")

    assert (answer.code, answer.err) == (Exit.USAGE, "afk-runner: '\\udcff' is not UTF-8 text\n")


@pytest.mark.parametrize("verb", ["pause", "unpause", "fire"])
def test_a_misspelt_task_is_refused_with_the_nearest(afk: Afk, verb: str) -> None:
    """As `enqueue` refuses it: a script can tell it from a task that is paused already, or is not."""
    answer = afk(verb, "digset")

    assert (answer.code, answer.out) == (Exit.USAGE, "")
    assert answer.err == "afk-runner: there is no task 'digset'; did you mean \"digest\"?\n"


def test_a_task_without_a_schedule_is_not_fired_and_told_how_it_runs(afk: Afk) -> None:
    answer = afk("fire", "sweep")

    assert answer.code == Exit.REFUSED
    assert answer.err.endswith("lists them; `afk-runner enqueue` runs a task without one\n")


def test_a_pause_of_a_task_that_is_gone_is_lifted(afk: Afk, home: Home) -> None:
    afk("pause", "digest")
    home.config.write_text(home.config.read_text().replace("[tasks.digest]", "[tasks.other]"))

    assert afk("unpause", "digest").out == "unpaused digest\n"
    assert afk("unpause", "digest").code == Exit.USAGE


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
