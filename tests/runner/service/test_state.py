"""What runs is told by our own lock and heartbeat first; what cannot be told is said to be unknown."""

# ruff: noqa: PLR0917 - a test names each part of the world it needs

from __future__ import annotations

import os
import sqlite3
from contextlib import closing

import pytest

from runner.heartbeat import HeartbeatFile
from runner.home import Home
from runner.service import proof
from runner.service.inspect import installed
from runner.service.machine import Machine
from runner.service.plan import Platform
from runner.service.state import State, Verdict, state_of
from runner.store.runners import RunState
from runner.units import UnixMs
from tests.factories import NOW
from tests.runner.service.conftest import Make
from tests.runner.service.fakes import Answer, Crontab, Stage, Tool

AGENT = Platform.LAUNCHD


class At:
    def __init__(self, ms: int) -> None:
        self._ms = ms

    def now(self) -> UnixMs:
        return UnixMs(self._ms)


@pytest.fixture
def ask(home: Home, machine: Machine, now: UnixMs):  # type: ignore[no-untyped-def]
    def state(platform: Platform | None = None, *, later_ms: int = 0) -> State:
        return state_of(home, platform, {}, clock=At(now + later_ms), machine=machine)

    return state


def job(pid: int | None, *lines: str) -> Answer:
    told = [f"\tpid = {pid}"] if pid is not None else []
    return (0, "\n".join(["gui/501/local.x = {", "\tstate = running", *told, *lines, "}", ""]), "")


def test_nothing_installed_is_unknown(ask, launchctl: Tool) -> None:  # type: ignore[no-untyped-def]
    launchctl.answers({"print": 113})

    state = ask()

    assert (state.verdict, state.installed) == (Verdict.UNKNOWN, False)
    assert "nothing is installed on launchd" in state.text


def test_a_runner_that_holds_the_home_is_running(ask, make: Make, launchctl: Tool, stage: Stage) -> None:  # type: ignore[no-untyped-def]
    make(AGENT).install(start=False)
    pid = stage.enter(state=RunState.PARKED, reason="stop")
    launchctl.answers({"print": job(pid, "\truns = 3", "\tlast exit code = 1")})

    state = ask()

    assert state.verdict is Verdict.RUNNING
    assert f"pid {pid} is parked (stop)" in state.text
    assert "runs 3" in state.text
    assert state.document()["runner"] == {"pid": pid, "id": "r1", "state": "parked", "reason": "stop"}
    assert state.current is True


@pytest.mark.parametrize(
    ("answer", "verdict", "says"),
    [
        ((113, "", ""), Verdict.NOT_RUNNING, "launchd does not know it"),
        (job(None, "\tstate = spawn scheduled", "\truns = 41"), Verdict.NOT_RUNNING, "runs 41"),
        ((112, "", ""), Verdict.UNKNOWN, "no session"),
        ((125, "", ""), Verdict.UNKNOWN, "no session"),
        ((134, "", "crash"), Verdict.UNKNOWN, "gave no answer: crash"),
        ((5, "", ""), Verdict.UNKNOWN, "gave no answer"),
        ((0, "something else altogether", ""), Verdict.NOT_RUNNING, "loaded"),
    ],
)
def test_without_a_runner_it_is_what_launchd_can_tell(  # type: ignore[no-untyped-def]
    answer: Answer, verdict: Verdict, says: str, ask, make: Make, launchctl: Tool
) -> None:
    make(AGENT).install(start=False)
    launchctl.answers({"print": answer})

    state = ask()

    assert state.verdict is verdict
    assert says in state.text


def test_launchd_that_cannot_be_asked_takes_nothing_from_what_is_seen(  # type: ignore[no-untyped-def]
    ask, make: Make, launchctl: Tool, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child of launchd's is taken to be its; any other is somebody's."""
    make(AGENT).install(start=False)
    stage.enter()
    launchctl.answers({"print": 125})

    by_hand = ask()
    monkeypatch.setattr(proof, "ancestors", lambda _pid: [1])

    assert by_hand.verdict is Verdict.UNKNOWN
    assert "is running, started by somebody else; launchd has no session" in by_hand.text
    assert ask().verdict is Verdict.RUNNING


def test_a_runner_started_by_hand_is_not_the_service(ask, make: Make, launchctl: Tool, stage: Stage) -> None:  # type: ignore[no-untyped-def]
    make(AGENT).install(start=False)
    stage.enter()
    launchctl.answers({"print": 113})

    state = ask()

    assert state.verdict is Verdict.NOT_RUNNING
    assert "started by somebody else" in state.text


def test_a_service_that_stands_by_runs(ask, make: Make, launchctl: Tool, stage: Stage) -> None:  # type: ignore[no-untyped-def]
    make(AGENT).install(start=False)
    stage.enter()
    stage.note(os.getppid(), state=RunState.STANDBY)
    launchctl.answers({"print": job(os.getppid())})

    state = ask()

    assert state.verdict is Verdict.RUNNING
    assert f"pid {os.getppid()} stands by" in state.text


def test_a_runner_that_waits_for_better_settings_is_alive(ask, make: Make, launchctl: Tool, home: Home) -> None:  # type: ignore[no-untyped-def]
    """It holds no lock and no row; its heartbeat says why it works on nothing."""
    make(AGENT).install(start=False)
    launchctl.answers({"print": job(os.getpid())})
    heart = HeartbeatFile(home.heartbeat)
    heart.beat(fault="the settings are refused")
    os.utime(home.heartbeat, (NOW / 1000, NOW / 1000))

    state = ask()

    heart.close()
    assert state.verdict is Verdict.RUNNING
    assert "its settings are refused" in state.text


def test_settings_that_are_refused_hide_nothing(ask, make: Make, launchctl: Tool, home: Home, stage: Stage) -> None:  # type: ignore[no-untyped-def]
    make(AGENT).install(start=False)
    pid = stage.enter()
    launchctl.answers({"print": job(pid)})
    home.config.write_text("nonsense =")

    state = ask()

    assert (state.verdict, state.current) == (Verdict.RUNNING, None)


def test_cron_runs_as_long_as_runs_follow_each_other(  # type: ignore[no-untyped-def]
    ask, make: Make, crontab: Crontab, home: Home, stage: Stage
) -> None:
    make(Platform.CRON).install()
    assert ask().verdict is Verdict.NOT_RUNNING

    stage.enter()
    assert ask().verdict is Verdict.RUNNING
    stage.leave()
    with closing(sqlite3.connect(home.db, isolation_level=None)) as db:
        db.execute("UPDATE runners SET ended = 'nothing left to do', state = 'stopped'")

    assert ask(later_ms=14 * 60_000).verdict is Verdict.RUNNING
    late = ask(later_ms=16 * 60_000)
    assert late.verdict is Verdict.NOT_RUNNING
    assert "16m" in late.text
    make(Platform.CRON).stop(persist=False)
    assert "turned off" in ask().text


def test_a_container_is_seen_by_its_lock_alone(ask, stage: Stage) -> None:  # type: ignore[no-untyped-def]
    assert ask(Platform.DOCKER).verdict is Verdict.UNKNOWN
    stage.enter()
    assert ask(Platform.DOCKER).verdict is Verdict.RUNNING


# --- for doctor and the monitor ---------------------------------------------------------------------------------------


def test_what_is_installed_is_found_without_asking_anybody(
    make: Make, launchctl: Tool, home: Home, machine: Machine
) -> None:
    assert installed(home, machine=machine) == ()
    make(AGENT).install(start=False)

    (found,) = installed(home, machine=machine)

    assert (found.platform, found.current, found.loaded) == ("launchd", True, None)
    assert found.unit is not None
    assert launchctl.calls == []


def test_a_file_of_other_settings_is_out_of_date_and_a_lost_one_is_missed(
    make: Make, launchctl: Tool, home: Home, machine: Machine
) -> None:
    make(AGENT).install(start=False)
    home.config.write_text(home.config.read_text() + "[runner]\nstop_grace = '1m'\n")
    (old,) = installed(home, machine=machine)
    assert old.current is False
    assert old.unit is not None

    old.unit.unlink()
    (gone,) = installed(home, machine=machine)

    assert gone.current is False
    assert "is gone" in gone.note


def test_asked_it_says_what_the_supervisor_knows(make: Make, launchctl: Tool, home: Home, machine: Machine) -> None:
    make(AGENT).install(start=False)
    launchctl.answers({"print": job(4121)})

    (found,) = installed(home, ask=True, machine=machine)

    assert found.loaded is True
    assert "pid 4121" in found.note
