"""A payload that kills its runner is found out, and takes nobody with it."""

from __future__ import annotations

import time

from tests.e2e.world import World

TOML = """
[runner]
workers = 3
[retry]
base = "10ms"
cap = "10ms"
"""

TASKS = """
import os, signal, time
from runner import task

BUSY = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "busy")

def at_work(name):
    open(os.path.join(BUSY, f"{name}-{os.getpid()}"), "w").close()

def wait(within_s, until):
    deadline = time.monotonic() + within_s
    while not until(os.listdir(BUSY)) and time.monotonic() < deadline:
        time.sleep(0.01)

@task("pill")
def pill(ctx, payload):
    at_work("pill")
    wait(0.5, lambda names: len(names) > 2)  # the other workers have begun, if there is work for them
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)

@task("innocent")
def innocent(ctx, payload):
    at_work("innocent")
    wait(0.2, lambda names: any(name.startswith("pill") for name in names))
    if any(name.startswith("pill") for name in os.listdir(BUSY)):
        time.sleep(3)  # it is killed beside the pill, however slow the machine
    os.unlink(os.path.join(BUSY, f"innocent-{os.getpid()}"))
    return "well"
"""


def _run_until_finished(afk: World) -> int:
    """Start a runner again whenever it was killed, until nothing is left to do; how often it was killed."""
    killed = 0
    busy = afk.home / "busy"
    busy.mkdir(exist_ok=True)
    while True:
        for left in busy.iterdir():
            left.unlink(missing_ok=True)  # a worker of the runner that was killed may be just about to
        runner = afk.start(wait=False)
        while runner.poll() is None:
            if afk.one("SELECT count(*) FROM jobs WHERE status IN ('pending', 'running')") == 0:
                afk.kill9(runner)
                return killed
            time.sleep(0.02)
        killed += 1
        assert killed <= 40, "nobody found the poison"


def test_innocents_beside_a_poison_pill_are_done(afk: World) -> None:
    """One payload kills the runner whenever it runs: it alone ends dead, after four times; its neighbours end done."""
    afk.init(TOML, tasks=TASKS)
    afk.afk("enqueue", "pill", "--key", "pill", "--priority", "9")
    for n in range(2):
        afk.afk("enqueue", "innocent", f'{{"n": {n}}}', "--key", f"innocent-{n}", "--priority", "9")

    killed = _run_until_finished(afk)

    assert killed == 4
    assert dict(afk.sql("SELECT key, status FROM jobs")) == {
        "pill": "dead",
        "innocent-0": "done",
        "innocent-1": "done",
    }
    assert "poison pill" in afk.one("SELECT error FROM jobs WHERE key = 'pill'")


def test_innocents_survive_many_pills(afk: World) -> None:
    """Three pills and two innocents on three workers: each pill ends dead, no innocent does."""
    afk.init(TOML, tasks=TASKS)
    for n in range(3):
        afk.afk("enqueue", "pill", f'{{"n": {n}}}', "--key", f"pill-{n}")
        if n < 2:
            afk.afk("enqueue", "innocent", f'{{"n": {n}}}', "--key", f"innocent-{n}")

    _run_until_finished(afk)

    ended = dict(afk.sql("SELECT key, status FROM jobs"))
    assert {ended[f"pill-{n}"] for n in range(3)} == {"dead"}
    assert {ended[f"innocent-{n}"] for n in range(2)} == {"done"}
