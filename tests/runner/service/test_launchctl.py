"""launchd's verbs in their order, with the answers it has been seen to give."""

# ruff: noqa: PLR0917 - a test names each part of the world it needs

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runner.errors import Refused
from runner.home import Home
from runner.service.machine import Machine
from runner.service.plan import Platform
from runner.service.witness import look
from runner.store.runners import RunState
from tests.runner.service.conftest import Make
from tests.runner.service.fakes import Answer, Slow, Stage, Tool

AGENT = Platform.LAUNCHD


def running(pid: int) -> Answer:
    return (
        0,
        f"gui/501/local.x = {{\n\tstate = running\n\tpid = {pid}\n\truns = 1\n\tlast exit code = (never exited)\n}}\n",
        "",
    )


NOT_RUNNING: Answer = (0, "gui/501/local.x = {\n\tstate = not running\n\tlast exit code = (never exited)\n}\n", "")
ABSENT: Answer = (113, "", 'Could not find service "local.x" in domain for user gui: 501')


@pytest.fixture
def session(launchctl: Tool) -> str:
    """Somebody is logged in at the desktop, and launchd knows nothing of us."""
    name = f"gui/{os.geteuid()}"
    launchctl.answers({f"print {name}": 0, "print": ABSENT})
    return name


def plist(machine: Machine) -> Path:
    (found,) = (machine.user_home / "Library/LaunchAgents").glob("*.plist")
    return found


def test_install_turns_it_on_begins_it_and_waits_for_a_heartbeat(
    make: Make, launchctl: Tool, session: str, slow: Slow, stage: Stage, machine: Machine
) -> None:
    slow.after(1, stage.enter)
    service = make(AGENT)

    done = service.install()

    assert done.changed
    assert "is running" in done.text
    assert launchctl.verbs == ["enable", "bootstrap"]
    assert launchctl.calls[-1] == ["bootstrap", session, str(plist(machine))]
    assert plist(machine).stat().st_mode & 0o777 == 0o600
    assert (machine.user_home / "Library/Logs" / service.plan.label).is_dir()


def test_install_again_changes_nothing(make: Make, launchctl: Tool, session: str, slow: Slow, stage: Stage) -> None:
    slow.after(0.1, stage.enter)
    make(AGENT).install()
    pid = look(stage.home).pid
    assert pid is not None
    launchctl.answers({"print": running(pid)})
    before = launchctl.verbs

    done = make(AGENT).install()

    assert not done.changed
    assert launchctl.verbs == before


def test_a_changed_file_is_booted_out_before_it_is_begun(
    make: Make, launchctl: Tool, session: str, slow: Slow, stage: Stage, home: Home, machine: Machine
) -> None:
    """launchd keeps the definition it was given, and boots out in its own time."""
    slow.after(0.1, stage.enter)
    make(AGENT).install()
    old = plist(machine).read_text()
    stage.leave()
    slow.after(slow.at + 12, stage.enter)
    home.config.write_text(home.config.read_text() + '[runner]\nstop_grace = "30s"\n')
    launchctl.answers({"print": [running(99), running(99), running(99), ABSENT], "bootstrap": [5, 37, 5, 0]})

    done = make(AGENT).install()

    assert done.changed
    assert launchctl.verbs[2:] == ["bootout", "enable", *["bootstrap"] * 4]
    assert plist(machine).read_text() != old


def test_a_job_that_was_turned_off_is_turned_on(
    make: Make, launchctl: Tool, session: str, slow: Slow, stage: Stage
) -> None:
    slow.after(2, stage.enter)
    launchctl.answers({"bootstrap": [119, 0]})

    make(AGENT).install()

    assert launchctl.verbs == ["enable", "bootstrap", "enable", "bootstrap"]


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (5, r"still going, or it is switched off in System Settings"),
        (37, "still going"),
        (112, "launchd-daemon"),
        (125, "launchd-daemon"),
        (134, r"Bad stuff \(exit code 134\)"),
        (119, "turned off"),
    ],
)
def test_what_launchd_would_not_begin_is_said_in_words(
    code: int, says: str, make: Make, launchctl: Tool, session: str
) -> None:
    launchctl.answers({"bootstrap": (code, "", "Bad stuff\n")})

    with pytest.raises(Refused, match=f"would not begin .*{says}"):
        make(AGENT).install()


def test_without_a_desktop_the_session_of_a_login_is_used_and_kept(
    make: Make, launchctl: Tool, slow: Slow, stage: Stage, machine: Machine
) -> None:
    """And the file says so, or launchd would not load it there."""
    launchctl.answers({f"print gui/{os.geteuid()}": 112, f"print user/{os.geteuid()}": 0, "print": ABSENT})
    slow.after(1, stage.enter)

    make(AGENT).install()

    assert launchctl.calls[-1][:2] == ["bootstrap", f"user/{os.geteuid()}"]
    assert "<string>Background</string>" in plist(machine).read_text()
    make(AGENT).keeper.begin()
    assert launchctl.calls[-1][:2] == ["bootstrap", f"user/{os.geteuid()}"]


def test_a_job_that_was_begun_and_did_nothing_is_kicked_once(
    make: Make, launchctl: Tool, session: str, slow: Slow, stage: Stage
) -> None:
    slow.after(20, stage.enter)
    launchctl.answers({"print": [ABSENT, ABSENT, NOT_RUNNING]})

    make(AGENT).install()

    assert launchctl.verbs == ["enable", "bootstrap", "kickstart"]
    assert "-k" not in next(call for call in launchctl.calls if call[0] == "kickstart")


def test_no_heartbeat_is_no_start_whatever_launchd_says(make: Make, launchctl: Tool, session: str) -> None:
    launchctl.answers({"print": [ABSENT, running(4121)]})

    with pytest.raises(Refused, match=r"no heartbeat of a new runner came within 60 s; .*pid 4121.*boot\.log"):
        make(AGENT).install()


def test_a_runner_that_only_begins_is_not_taken_for_one_that_runs(
    make: Make, launchctl: Tool, session: str, slow: Slow, stage: Stage
) -> None:
    slow.after(1, lambda: stage.enter(state=RunState.STARTING))

    with pytest.raises(Refused, match="no heartbeat"):
        make(AGENT).install()


def test_beside_a_runner_started_by_hand_it_stands_by(
    make: Make, launchctl: Tool, session: str, slow: Slow, stage: Stage
) -> None:
    by_hand = stage.enter()
    slow.after(1, lambda: stage.note(os.getppid(), state=RunState.STANDBY))

    done = make(AGENT).install()

    assert f"stands by for pid {by_hand} is running" in done.text


def test_no_start_writes_the_file_and_calls_nobody(make: Make, launchctl: Tool, machine: Machine) -> None:
    done = make(AGENT).install(start=False)

    assert launchctl.calls == []
    assert plist(machine).exists()
    assert "nothing was started" in done.text
    assert "next login" in done.remarks[0]


@pytest.mark.parametrize("persist", [False, True])
def test_stop_ends_when_the_job_and_the_lock_are_gone(
    persist: bool, make: Make, launchctl: Tool, session: str, slow: Slow, stage: Stage
) -> None:
    make(AGENT).install(start=False)
    pid = stage.enter()
    launchctl.answers({"print": [running(pid), running(pid), running(pid), ABSENT]})
    slow.after(0.2, stage.leave)

    done = make(AGENT).stop(persist=persist)

    assert launchctl.verbs == (["disable", "bootout"] if persist else ["bootout"])
    assert done.text.startswith("it ended, and the home's lock is free")


def test_stop_of_a_job_that_is_gone_already_is_no_fault(make: Make, launchctl: Tool, session: str) -> None:
    make(AGENT).install(start=False)
    launchctl.answers({"bootout": 3, "print": [(1, "", "odd"), ABSENT]})

    assert "nothing ran" in make(AGENT).stop(persist=False).text


def test_a_runner_that_outlives_its_stop_is_named(make: Make, launchctl: Tool, session: str, stage: Stage) -> None:
    make(AGENT).install(start=False)
    pid = stage.enter()
    launchctl.answers({"print": [running(pid), running(pid), ABSENT]})

    with pytest.raises(Refused, match=f"told to end and pid {pid} is running still; `afk-runner kill --force"):
        make(AGENT).stop(persist=False)


def test_a_job_launchd_does_not_let_go_of_is_named(make: Make, launchctl: Tool, session: str) -> None:
    make(AGENT).install(start=False)
    launchctl.answers({"print": running(4121)})

    with pytest.raises(Refused, match="launchd still has"):
        make(AGENT).stop(persist=False)


def test_restart_lets_it_drain_and_kicks_it(
    make: Make, launchctl: Tool, session: str, slow: Slow, stage: Stage
) -> None:
    """The end that was asked for is a success: it stays down until it is kicked."""
    make(AGENT).install(start=False)
    pid = stage.enter()
    launchctl.answers({"print": [running(pid), running(pid), NOT_RUNNING]})

    def turn() -> None:
        stage.leave()
        stage.enter()

    slow.after(0.2, turn)

    done = make(AGENT).restart()

    assert launchctl.verbs == ["kill", "kickstart"]
    assert "is running" in done.text


def test_restart_kills_what_does_not_drain(make: Make, launchctl: Tool, session: str, slow: Slow, stage: Stage) -> None:
    make(AGENT).install(start=False)
    pid = stage.enter()
    launchctl.answers({"print": running(pid)})
    slow.after(60, stage.leave)
    slow.after(61, stage.enter)

    make(AGENT).restart()

    assert launchctl.verbs == ["kill", "kickstart"]
    assert "-k" in next(call for call in launchctl.calls if call[0] == "kickstart")


def test_uninstall_leaves_nothing_and_twice_is_fine(
    make: Make, launchctl: Tool, session: str, slow: Slow, stage: Stage, home: Home, machine: Machine
) -> None:
    slow.after(0.1, stage.enter)
    make(AGENT).install()
    pid = look(home).pid
    assert pid is not None
    launchctl.answers({"print": [running(pid), running(pid), ABSENT]})
    slow.after(slow.at + 0.1, stage.leave)

    first = make(AGENT).uninstall()
    second = make(AGENT).uninstall()

    assert first.changed
    assert not second.changed
    assert [path for path in (machine.user_home / "Library").rglob("*") if not path.is_dir()] == []
    assert [path.name for path in (machine.user_home / "Library/Logs").iterdir()] == []
    assert not (home.root / "service.json").exists()
