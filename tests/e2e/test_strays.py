"""A payload that forks and goes every moment, each time in a session of its own, is ended like any other."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runner.units import MINUTE_MS
from tests.e2e.clocks import Clocks
from tests.e2e.world import World, alive, eventually

WALK = """
import fcntl, os, sys, time

def walk(home, walkers, period):
    # All of them hold one lock as long as they live. No other look at them is exact: each lives for a moment.
    fcntl.flock(os.open(f"{home}/held", os.O_RDWR | os.O_CREAT, 0o600), fcntl.LOCK_SH)
    steps = os.open(f"{home}/steps", os.O_RDWR | os.O_CREAT, 0o600)
    until = time.monotonic() + 200
    for _ in range(walkers):
        if os.fork() == 0:
            while time.monotonic() < until:
                if os.fork():
                    os._exit(0)
                os.setsid()
                time.sleep(period)
                os.pwrite(steps, f"{os.getppid():8}".encode(), 0)
            os._exit(0)
"""
SCRIPT = WALK + "\nwalk(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))\ntime.sleep(200)\n"
TASKS = (
    WALK
    + """
from runner import task

HOME = os.path.dirname(os.path.dirname(__file__))

@task("strolls")
def strolls(ctx, payload):
    walk(HOME, 1, 0.005)
    time.sleep(200)

@task("fine")
def fine(ctx, payload):
    return "fine"

@task("patient")
def patient(ctx, payload):
    while not os.path.exists(f"{HOME}/release"):
        time.sleep(0.02)
    return os.getpid()
"""
)


@pytest.fixture
def home(afk: World) -> World:
    """`races`: four walkers that never rest. `walks`, a command, and `strolls`, a function: one that rests for 5 ms."""
    script = afk.home.parent / "walk.py"
    script.write_text(SCRIPT)

    def command(name: str, walkers: int, period: float) -> str:
        words = [sys.executable, str(script), str(afk.home), str(walkers), str(period)]
        return f'[tasks.{name}]\nkind = "command"\ncommand = {words}\non_timeout = "halt"\n'

    toml = '[watch]\nstall = "30s"\n[runner]\nworkers = 2\nstop_grace = "300ms"\n'
    return afk.init(toml + command("races", 4, 0) + command("walks", 1, 0.005), tasks=TASKS)


def parent(afk: World) -> int:
    """Of the walker that wrote last; 0 before it did."""
    path = afk.home / "steps"
    return int(path.read_text() or 0) if path.exists() else 0


def gone(afk: World) -> bool:
    """Whether every walker is."""
    with (afk.home / "held").open() as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def fallen_to_the_runner(afk: World, runner: subprocess.Popen[bytes], task: str) -> None:
    """Let a walker's worker die under a runner that stands still, so that the walker is the runner's."""
    afk.afk("enqueue", task)
    eventually(lambda: parent(afk), what="it walks")
    workers = afk.workers(runner)
    runner.send_signal(signal.SIGSTOP)
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    eventually(lambda: parent(afk) == runner.pid, what="it fell to the runner")


@pytest.mark.parametrize("task", ["races", "walks", "strolls"])
def test_walkers_end_with_their_attempt_and_hold_up_nobody(home: World, task: str) -> None:
    """They are gone, the next job is done, and one that ran beside them has kept its worker."""
    clocks = Clocks(home)
    runner = home.start()
    beside = home.json("enqueue", "patient")["key"]
    key = home.json("enqueue", task, "--max-seconds", "600")["key"]
    eventually(lambda: parent(home), what="they walk")
    clocks.go_on(10 * MINUTE_MS)

    eventually(lambda: home.json("job", key)["status"] == "halted", what="the attempt cut")
    eventually(lambda: gone(home), what="all gone")

    home.afk("enqueue", "fine")
    eventually(lambda: home.counts().get("done") == 1, what="the next job done")
    (home.home / "release").touch()
    eventually(lambda: home.json("job", beside)["status"] == "done", what="the one beside done")
    assert home.json("job", beside)["attempts"] == 1
    assert runner.poll() is None


@pytest.mark.parametrize("task", ["races", "walks", "strolls"])
def test_walkers_that_fell_to_the_runner_are_ended(home: World, task: str) -> None:
    """Their worker died by itself; the runner, which has hundreds of zombies by then, goes on as ever."""
    runner = home.start()
    fallen_to_the_runner(home, runner, task)

    runner.send_signal(signal.SIGCONT)

    eventually(lambda: gone(home), what="all gone")
    eventually(lambda: not zombies(runner.pid), what="all collected")
    assert runner.poll() is None


def zombies(above: int) -> list[int]:
    """Its children that it has not collected."""
    listed = Path(f"/proc/{above}/task/{above}/children").read_text().split()
    return [int(pid) for pid in listed if not alive(int(pid))]


@pytest.mark.parametrize("task", ["races", "walks", "strolls"])
def test_walkers_that_fell_to_the_runner_do_not_outlive_it(home: World, task: str) -> None:
    """SIGKILL of the runner gives them to the system, and nothing leads from them to the home any more."""
    runner = home.start()
    fallen_to_the_runner(home, runner, task)

    home.kill9(runner)

    eventually(lambda: gone(home), what="all gone")


@pytest.mark.parametrize("task", ["races", "walks", "strolls"])
def test_no_work_starts_beside_walkers_of_a_dead_runner(home: World, task: str) -> None:
    """Where its guard was killed as well, the next one ends them before anything else."""
    first = home.start()
    fallen_to_the_runner(home, first, task)
    for guard in home.guards(first):
        os.kill(guard, signal.SIGKILL)
    home.kill9(first)
    home.change("UPDATE jobs SET status = 'pending', task = 'fine', lease = NULL, lease_until = NULL")

    home.start()

    assert gone(home)


def test_a_new_guard_leaves_walkers_of_a_living_attempt_alone(home: World) -> None:
    """They are below its runner, whoever of them is the one just now."""
    runner = home.start()
    home.afk("enqueue", "strolls")
    eventually(lambda: parent(home), what="it walks")
    (first,) = home.guards(runner)

    os.kill(first, signal.SIGKILL)
    eventually(lambda: "guard.restarted" in (home.home / "logs" / "runner.jsonl").read_text(), what="another guard")

    assert not gone(home)
    assert home.counts() == {"running": 1}
