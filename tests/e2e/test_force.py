"""`kill --force` on real runners: what it names is gone, whatever state it was in, and nothing else is touched."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.e2e.vendor import HOLD, ask, house
from tests.e2e.world import BIN, World, alive, eventually, world
from tests.upstream import FakeAnthropic, Reply

DEAF = r'''
import os, signal, subprocess, sys, time

@task("deaf")
def deaf(ctx, payload):
    """Hears no TERM, nor does its child, which has left the group."""
    signal.signal(signal.SIGTERM, lambda *_: None)
    loop = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: time.sleep(1)"
    subprocess.Popen([sys.executable, "-c", loop, os.getcwd()], start_new_session=True)
    while True:
        time.sleep(1)
'''


def deaf(afk: World, vendor: FakeAnthropic) -> subprocess.Popen[bytes]:
    """A runner at work on a job that hears nothing."""
    house(afk, vendor, workers=1, grace="10m")
    (afk.home / "tasks" / "work.py").open("a").write(DEAF)
    ask(afk, 1, task="deaf")
    runner = afk.start()
    eventually(lambda: len(children(afk)) == 1, what="its child")
    return runner


def children(afk: World) -> set[int]:
    """What the payload started."""
    found = set()
    for pid in afk.processes():
        with suppress(OSError):
            if b"SIG_IGN" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.add(pid)
    return found


def pids(told: Any, what: str) -> set[int]:
    return {one["pid"] for one in told["ended"] if one["what"] == what}


def test_a_runner_at_work_is_ended_with_all_that_is_below_it(afk: World, vendor: FakeAnthropic) -> None:
    runner = deaf(afk, vendor)
    workers, guards, below = {*afk.workers(runner)}, {*afk.guards(runner)}, children(afk)
    assert (len(workers), len(guards)) == (1, 1)

    told = afk.json("kill", "--force")

    assert told["stop"]["set"] == ["file", "row"]
    assert told["refused"] == []
    assert pids(told, "runner") == {runner.pid}
    assert pids(told, "worker") >= workers
    assert pids(told, "guard") >= guards
    assert pids(told, "child") >= below
    assert not told["left"]["processes"]
    assert not told["left"]["lock_held"]
    assert not afk.processes()
    assert afk.one("SELECT text FROM events WHERE event = 'runner.forced'").startswith("ended from outside by ")


def test_a_frozen_runner_is_ended_and_what_it_leaves_is_named(afk: World, vendor: FakeAnthropic) -> None:
    """Its call was in flight: the hold goes on counting. The next runner takes the job back."""
    vendor.script(Reply.hang(threading.Event()))
    house(afk, vendor, workers=1, grace="10m")
    (key,) = ask(afk, 1)
    runner = afk.start()
    vendor.wait_for(1)
    afk.freeze(runner)

    told = afk.json("kill", "--force")

    assert {one["by"] for one in told["ended"] if one["what"] == "runner"} == {"KILL"}
    assert told["left"] == {
        "processes": [],
        "lock_held": False,
        "leases": [{"key": key, "attempt": 1}],
        "holds": {"calls": 1, "microusd": HOLD},
        "unknown": None,
    }
    runner.wait(60)
    assert not afk.processes()
    assert "stopped (forced by " in afk.afk("status")
    for words in (["status"], ["status", "--check"], ["doctor", "--offline"]):
        assert "without a word" not in afk.call(*words).stdout

    afk.start()
    assert afk.status()["stop"]["set"]
    assert not afk.sql("SELECT 1 FROM events WHERE event = 'runner.lost'")
    assert not afk.sql("SELECT 1 FROM incidents WHERE subject = 'heartbeat'")
    afk.afk("resume")
    eventually(lambda: afk.counts() == {"done": 1})


def test_a_runner_whose_database_is_gone_is_found_by_its_lock(afk: World, vendor: FakeAnthropic) -> None:
    house(afk, vendor, workers=1)
    runner = afk.start()
    afk.freeze(runner)
    (afk.home / "agent.db").rename(afk.home / "elsewhere")

    told = afk.json("kill", "--force")

    assert pids(told, "runner") == {runner.pid}
    assert "no database" in told["left"]["unknown"]
    assert not afk.processes()


def test_without_a_runner_it_stops_and_says_that_nothing_runs(afk: World, vendor: FakeAnthropic) -> None:
    house(afk, vendor)

    assert "nothing of this home runs here" in afk.afk("kill", "--force")
    assert afk.status()["stop"]["set"]


def test_a_guard_that_outlived_its_runner_is_ended(afk: World, vendor: FakeAnthropic) -> None:
    """It was frozen when the runner was killed, and no runner could start before it is gone."""
    runner = deaf(afk, vendor)
    (guard,) = afk.guards(runner)
    os.kill(guard, signal.SIGSTOP)
    afk.kill9(runner)

    told = afk.json("kill", "--force")

    assert pids(told, "guard") == {guard}
    assert not afk.processes()


def test_the_runner_of_another_home_and_a_process_in_its_group_are_left_alone(
    afk: World, vendor: FakeAnthropic, tmp_path: Path
) -> None:
    house(afk, vendor, workers=1)
    group = subprocess.Popen(
        ["sh", "-c", 'sleep 600 & "$@" & wait', "sh", str(BIN / "afk-runner"), "run"],
        env=afk.env,
        cwd="/",
        start_new_session=True,
    )
    with world(tmp_path / "other") as other:
        other.home.parent.mkdir()
        house(other, vendor, workers=1)
        neighbour = other.start()
        eventually(lambda: afk.sql("SELECT 1 FROM runners WHERE state = 'running'"))
        companion = int(
            subprocess.run(["pgrep", "-g", str(group.pid), "sleep"], capture_output=True, text=True, check=True).stdout
        )

        told = afk.json("kill", "--force")

        assert pids(told, "runner") == {afk.one("SELECT pid FROM runners")}
        assert alive(companion)
        assert neighbour.poll() is None
        assert not other.status()["stop"]["set"]
        os.kill(companion, signal.SIGKILL)
    group.wait(60)
