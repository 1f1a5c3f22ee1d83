"""The real runner under a small launchd that is driven by the property list we render."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import pytest

from runner.errors import Refused
from runner.home import Home
from runner.service import launchd as plists
from runner.service.machine import Machine
from runner.service.plan import Platform, make_plan, service_settings
from runner.service.state import Verdict, state_of
from runner.service.verbs import Service
from runner.service.witness import Patience, Seen, look
from runner.starts import UNCLEAN, Starts
from runner.store.runners import RunState
from runner.units import SystemClock
from runner.work.processes import start_time
from tests.e2e import hanging
from tests.e2e.world import World
from tests.runner.service.launchd import Job, MiniLaunchd

T = TypeVar("T")
PROGRAM = Path(sys.executable).with_name("afk-runner")


def eventually(look: Callable[[], T | None], within_s: float = 60) -> T:
    """The first answer; a machine under load is slow, and a wait is no measurement."""
    deadline = time.monotonic() + within_s
    while (answer := look()) is None or answer is False:
        assert time.monotonic() < deadline, "never came to be"
        time.sleep(0.05)
    return answer


@pytest.fixture
def launchd(bin_folder: Path) -> Iterator[MiniLaunchd]:
    made = MiniLaunchd(bin_folder)
    yield made
    made.close()


@pytest.fixture
def verbs(home: Home, machine: Machine) -> Callable[[], Service]:
    patience = Patience(poll_s=0.3, start_s=90, race_s=60)
    on = replace(machine, program=PROGRAM)
    return lambda: Service.find(home, Platform.LAUNCHD, {}, machine=on, patience=patience)


def state(home: Home, *states: RunState) -> Callable[[], Seen | None]:
    def now() -> Seen | None:
        seen = look(home)
        return seen if seen.runner is not None and seen.runner.state in states else None

    return now


@pytest.mark.timeout(600)
def test_the_real_runner_is_kept_as_it_should_be(
    launchd: MiniLaunchd, verbs: Callable[[], Service], home: Home, machine: Machine
) -> None:
    """Park, KILL, TERM, the race of a bootout, a stop for good, and nothing left."""
    label = verbs().plan.label
    verbs().install()
    first = look(home)
    assert first.works
    on = replace(machine, program=PROGRAM)
    assert state_of(home, None, {}, clock=SystemClock(), machine=on).verdict is Verdict.RUNNING

    # Parked, it lives: nothing for launchd to do.
    home.stop.touch()
    parked = eventually(state(home, RunState.PARKED))
    assert parked.pid == first.pid
    assert len(launchd.job(label).starts) == 1

    # Killed, it comes back, and is parked still.
    assert parked.pid is not None
    os.kill(parked.pid, signal.SIGKILL)
    again = eventually(lambda: seen if (seen := look(home)).works and seen.key != parked.key else None)
    assert eventually(state(home, RunState.PARKED)).pid == again.pid
    home.stop.unlink()

    # Asked to end, it stays down.
    assert again.pid is not None
    os.kill(again.pid, signal.SIGTERM)
    job = launchd.job(label)
    eventually(lambda: job.process is None)
    assert (job.last_exit, job.due, look(home).held) == (0, None, False)
    assert state_of(home, None, {}, clock=SystemClock(), machine=on).verdict is Verdict.NOT_RUNNING

    # A new definition has to get past what the old one leaves behind.
    home.config.write_text(home.config.read_text() + "[runner]\nstop_grace = '5s'\n")
    verbs().install()
    assert launchd.job(label).plist["ExitTimeOut"] == 30
    begun = [code for verb, code in launchd.answered if verb == "bootstrap"]
    assert begun[-1] == 0

    # Stopped for good, it is not begun by anybody until it is started.
    assert "until `afk-runner service start`" in verbs().stop(persist=True).text
    assert launchd.turned_off
    assert launchd.jobs == {}

    assert verbs().uninstall().changed
    assert (launchd.turned_off, look(home).held) == (set(), False)
    assert [path for path in (machine.user_home / "Library").rglob("*") if not path.is_dir()] == []


@pytest.mark.timeout(600)
def test_a_runner_whose_loop_stands_still_is_ended_and_begun_again(
    launchd: MiniLaunchd, home: Home, machine: Machine, tmp_path: Path
) -> None:
    """By its own watchdog, for launchd has none; nothing of the old one is left."""
    home.config.write_text(home.config.read_text() + '[watch]\nstall = "20s"\n')
    program = tmp_path / "afk-runner"
    program.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, hanging.__file__])} "$@"\n')
    program.chmod(0o755)
    service = Service.find(home, Platform.LAUNCHD, {}, machine=machine, patience=Patience(poll_s=0.3, start_s=90))
    service.install()
    job = launchd.job(service.plan.label)
    world = World(tmp_path)
    old = eventually(
        lambda: seen if len(seen := set(world.processes())) >= 3 else None
    )  # with its guard and its worker

    (home.work / hanging.NAME).write_text("blocking_call")

    eventually(lambda: (seen := look(home)).works and seen.pid not in old, within_s=180)
    assert (job.last_exit, len(job.starts)) == (1, 2)
    eventually(lambda: not old.intersection(world.processes()))
    (told,) = eventually(lambda: world.sql("SELECT text FROM alerts WHERE key = 'stall'") or None)
    assert "it hung in blocking_call (" in told[0]
    assert service.uninstall().changed


# --- the stand-in itself, with programs that cost nothing -------------------------------------------------------------


@pytest.fixture
def load(launchd: MiniLaunchd, home: Home, machine: Machine, tmp_path: Path) -> Callable[[str], Job]:
    """Begin a job whose program is a shell script, from the plist we render."""

    def begin(script: str) -> Job:
        program = tmp_path / "afk-runner"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        service = Service.find(
            home, Platform.LAUNCHD, {}, machine=machine, patience=Patience(poll_s=0.1, start_s=0.5, race_s=5)
        )
        with pytest.raises(Refused, match="no heartbeat"):
            service.install()
        return launchd.job(service.plan.label)

    return begin


def test_a_crash_loop_is_as_fast_as_the_throttle_and_no_faster(load: Callable[[str], Job]) -> None:
    job = load("exit 1")

    kicked = len(job.starts)  # a kick is obeyed at once

    starts = eventually(lambda: job.starts[max(kicked - 1, 0) :] if len(job.starts) > kicked + 2 else None)

    assert all(later - earlier >= 30 * 0.02 for earlier, later in pairwise(starts))
    assert job.last_exit == 1


def test_an_end_that_was_asked_for_is_final(load: Callable[[str], Job]) -> None:
    """Also to the kick that a start gives to what does not run: that is one more start, and no loop."""
    job = load("exit 0")

    eventually(lambda: job.process is None and job.last_exit is not None)
    assert len(job.starts) <= 2
    assert (job.last_exit, job.due) == (0, None)


def test_what_is_left_in_the_group_goes_with_the_job(load: Callable[[str], Job], home: Home) -> None:
    job = load(f'sleep 1000 & echo $! > "{home.root}/child"; exit 3')

    named = home.root / "child"
    child = int(eventually(lambda: named.exists() and named.read_text().strip()))
    eventually(lambda: start_time(child) is None)
    assert eventually(lambda: job.last_exit) == 3


def test_a_folder_that_is_gone_is_a_78_that_is_not_ours(
    launchd: MiniLaunchd, home: Home, machine: Machine, tmp_path: Path
) -> None:
    """Nothing of ours was started, so nothing of ours wrote down why."""
    plan = make_plan(home, service_settings(home, {}), machine)
    machine.user_home.joinpath("Library/Logs", plan.label).mkdir(parents=True)
    file = plists.render(replace(plan, home=tmp_path / "away"), machine, daemon=False)
    (tmp_path / "x.plist").write_text(file.text)

    assert launchd._answer(["bootstrap", f"gui/{os.geteuid()}", str(tmp_path / "x.plist")])[0] == 0
    job = launchd.job(plan.label)

    eventually(lambda: len(job.starts) > 1)
    assert (job.last_exit, job.process) == (78, None)


def test_the_runner_that_crashes_again_and_again_parks(
    launchd: MiniLaunchd, verbs: Callable[[], Service], home: Home
) -> None:
    """The sixth start of ten minutes stays up and works on nothing, until a person starts it."""
    verbs().install()
    first = look(home)
    assert first.pid is not None
    for _ in range(UNCLEAN - 1):
        Starts(home.starts).begin(now=SystemClock().now())
    os.kill(first.pid, signal.SIGKILL)

    parked = eventually(state(home, RunState.PARKED))
    assert parked.key != first.key
    assert parked.runner is not None
    assert parked.runner.reason == "breaker"

    done = verbs().start()

    assert "may try again" in done.text
    eventually(state(home, RunState.RUNNING))
    assert verbs().uninstall().changed
