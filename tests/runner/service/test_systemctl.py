"""systemd's verbs in their order, and what its answers mean."""

# ruff: noqa: PLR0917 - a test names each part of the world it needs

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runner.errors import Refused
from runner.home import Home
from runner.service import record, tools
from runner.service.machine import Machine
from runner.service.plan import Platform
from runner.service.state import Verdict, state_of
from runner.service.witness import look
from runner.units import SystemClock
from tests.runner.service.conftest import Make
from tests.runner.service.fakes import Answer, Slow, Stage, Tool

USER = Platform.SYSTEMD_USER


def shown(state: str, *, pid: int = 0, sub: str = "", load: str = "loaded", **more: str) -> Answer:
    told = {"LoadState": load, "ActiveState": state, "SubState": sub, "MainPID": str(pid), "NRestarts": "0", **more}
    return (0, "".join(f"{key}={value}\n" for key, value in told.items()), "")


ABSENT = shown("inactive", sub="dead", load="not-found")
NO_BUS: Answer = (1, "", "Failed to connect to bus: No medium found\n")


@pytest.fixture
def empty(systemctl: Tool) -> Tool:
    systemctl.answers({"show": ABSENT})
    return systemctl


def unit(machine: Machine) -> Path:
    (found,) = (machine.user_home / ".config/systemd/user").glob("*.service")
    return found


def test_install_forgets_old_failures_before_it_starts(
    make: Make, empty: Tool, slow: Slow, stage: Stage, machine: Machine
) -> None:
    """Starts by hand count against the limit of starts, and so do yesterday's crashes."""
    slow.after(1, stage.enter)

    done = make(USER).install()

    name = unit(machine).name
    assert "is running" in done.text
    assert "loginctl enable-linger" in done.remarks[0]
    assert [call for call in empty.calls if call[1] != "show"] == [
        ["--user", "daemon-reload"],
        ["--user", "enable", name],
        ["--user", "reset-failed", name],
        ["--user", "start", "--no-block", name],
    ]


def test_install_again_changes_nothing_and_a_changed_unit_restarts(
    make: Make, empty: Tool, slow: Slow, stage: Stage, home: Home
) -> None:
    slow.after(0.1, stage.enter)
    make(USER).install()
    pid = look(home).pid
    assert pid is not None
    empty.answers({"show": shown("active", pid=pid, sub="running")})
    count = len(empty.verbs)

    assert not make(USER).install().changed
    assert len(empty.verbs) == count

    def turn() -> None:
        stage.leave()
        stage.enter()

    home.config.write_text(home.config.read_text() + "[runner]\nstop_grace = '30s'\n")
    slow.after(slow.at + 1, turn)
    assert make(USER).install().changed
    assert empty.verbs[count:] == ["daemon-reload", "enable", "reset-failed", "restart"]


@pytest.mark.parametrize("persist", [False, True])
def test_stop_waits_for_the_process_and_the_lock(
    persist: bool, make: Make, empty: Tool, slow: Slow, stage: Stage
) -> None:
    make(USER).install(start=False)
    pid = stage.enter()
    empty.answers({"show": shown("active", pid=pid)})
    slow.after(1, stage.leave)

    done = make(USER).stop(persist=persist)

    assert empty.verbs == (["disable"] if persist else ["stop"])
    assert done.text.startswith("it ended, and the home's lock is free")
    assert ("until `afk-runner service start`" in done.text) is persist


def test_a_runner_started_by_hand_is_not_the_services(make: Make, empty: Tool, stage: Stage) -> None:
    """Stopping the service leaves it, and says so."""
    make(USER).install(start=False)
    pid = stage.enter()
    empty.answers({"show": shown("active", pid=os.getpid() + 100_000)})

    done = make(USER).stop(persist=False)

    assert f"pid {pid} is running all the same, started by somebody else" in done.text


def test_uninstall_leaves_nothing_and_twice_is_fine(
    make: Make, empty: Tool, slow: Slow, stage: Stage, home: Home, machine: Machine
) -> None:
    make(USER).install(start=False)
    pid = stage.enter()
    empty.answers({"show": [shown("active", pid=pid), ABSENT]})
    slow.after(1, stage.leave)

    first, second = make(USER).uninstall(), make(USER).uninstall()

    assert (first.changed, second.changed) == (True, False)
    assert empty.verbs == ["stop", "disable", "daemon-reload", "reset-failed"]
    assert list((machine.user_home / ".config/systemd/user").iterdir()) == []
    assert not (home.root / "service.json").exists()


def test_a_manager_that_does_not_run_is_said_with_the_way_out(make: Make, systemctl: Tool) -> None:
    systemctl.answers({"show": NO_BUS, "daemon-reload": NO_BUS})

    with pytest.raises(
        Refused, match=r"own manager does not run; log in as ada itself .*enable-linger ada.*systemd-system"
    ):
        make(USER).install()


NOT_BOOTED: Answer = (
    1,
    "",
    "System has not been booted with systemd as init system (PID 1). Can't operate.\nFailed to connect: Host is down\n",
)


def test_an_install_that_failed_leaves_nothing(make: Make, systemctl: Tool, home: Home, machine: Machine) -> None:
    """Or nothing else could be installed for this home, and this not removed."""
    systemctl.answers({"show": NOT_BOOTED, "daemon-reload": NOT_BOOTED})

    with pytest.raises(Refused, match=r"`systemctl --user daemon-reload` failed: .*operate\.; Failed .* taken back"):
        make(USER).install()

    assert list((machine.user_home / ".config/systemd/user").iterdir()) == []
    assert not record.place(home).exists()


def test_an_update_that_failed_leaves_what_was_there(make: Make, systemctl: Tool, home: Home, machine: Machine) -> None:
    make(USER).install(start=False)
    before = unit(machine).read_text()
    home.config.write_text(home.config.read_text() + "[runner]\nstop_grace = '30s'\n")
    systemctl.answers({"show": NOT_BOOTED, "daemon-reload": NOT_BOOTED})

    with pytest.raises(Refused, match="taken back"):
        make(USER).install()

    assert unit(machine).read_text() == before
    assert record.read(home) is not None


@pytest.mark.parametrize("gone", [False, True])
def test_uninstall_needs_no_systemd_where_nothing_of_it_lives(
    gone: bool, make: Make, systemctl: Tool, home: Home, machine: Machine, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A home that moved into a container; somebody runs it there by hand."""
    make(USER).install(start=False)
    pid = stage.enter()
    systemctl.answers(dict.fromkeys(("show", "stop", "disable", "daemon-reload", "reset-failed"), NOT_BOOTED))
    if gone:
        monkeypatch.setattr("runner.service.tools.shutil.which", lambda _: None)

    done = make(USER).uninstall()

    assert done.changed
    assert f"pid {pid} is running" in done.text
    assert ("there is no systemctl" if gone else "systemd gave no answer") in done.remarks[0]
    assert list((machine.user_home / ".config/systemd/user").iterdir()) == []
    assert not record.place(home).exists()


def test_what_lives_in_the_unit_is_neither_forgotten_nor_disowned(
    make: Make, systemctl: Tool, home: Home, machine: Machine, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel tells whose it is where systemd does not."""
    make(USER).install(start=False)
    pid = stage.enter()
    systemctl.answers({"show": NOT_BOOTED, "stop": NOT_BOOTED})
    by_hand = state_of(home, USER, {}, clock=SystemClock(), machine=machine)
    read = Path.read_text

    def told(path: Path, *args: str, **kwargs: str) -> str:
        if str(path) == f"/proc/{pid}/cgroup":
            return f"0::/user.slice/{unit(machine).name}\n"
        return read(path, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", told)

    assert by_hand.verdict is Verdict.UNKNOWN
    assert f"pid {pid} is running, started by somebody else" in by_hand.text
    assert state_of(home, USER, {}, clock=SystemClock(), machine=machine).verdict is Verdict.RUNNING
    with pytest.raises(Refused, match="stop"):
        make(USER).uninstall()
    assert unit(machine).exists()


def test_no_heartbeat_says_what_systemd_knows(make: Make, systemctl: Tool) -> None:
    failed = shown("failed", sub="failed", Result="start-limit-hit", NRestarts="5")
    systemctl.answers({"show": [ABSENT, failed]})

    with pytest.raises(Refused, match=r"no heartbeat .*result start-limit-hit restarted 5 times.*journalctl --user -u"):
        make(USER).install()


def test_ones_own_manager_is_found_without_the_shells_help(
    make: Make, empty: Tool, monkeypatch: pytest.MonkeyPatch, bin_folder: Path
) -> None:
    """Over ssh and sudo XDG_RUNTIME_DIR is often not set."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    (bin_folder / "systemctl").write_text('#!/bin/sh\necho "LoadState=loaded"\necho "StatusText=$XDG_RUNTIME_DIR"\n')

    assert f"/run/user/{os.geteuid()}" in make(USER).keeper.ask().text


def test_restart_turns_on_what_was_stopped_for_good(make: Make, empty: Tool, slow: Slow, stage: Stage) -> None:
    """It would run until the next boot, and then stay down without a word."""
    make(USER).install(start=False)
    slow.after(1, stage.enter)

    make(USER).restart()

    assert empty.verbs == ["enable", "reset-failed", "restart"]


@pytest.mark.parametrize("persist", [False, True])
def test_stopping_is_given_the_time_a_runner_may_take(
    persist: bool, make: Make, empty: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a long `stop_grace` it takes longer than any other program may."""
    make(USER).install(start=False)
    monkeypatch.setattr(tools, "SLOWEST_S", 0.0)
    with pytest.raises(Refused, match="gave no answer in 0 s"):
        make(USER).keeper.ask()

    make(USER).keeper.end(persist=persist)

    assert empty.verbs == (["disable"] if persist else ["stop"])
