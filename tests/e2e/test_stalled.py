"""A loop that stands still is ended with all it started, and whoever started it starts the next one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e import hanging
from tests.e2e.world import World, alive, eventually

TASKS = """
import time
from pathlib import Path
from runner import task

@task("sit", max_seconds="1h")
def sit(ctx, payload):
    while not Path(payload["until"]).exists():
        time.sleep(0.02)
"""
FIRST = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"]
"""Starts what follows as the first process of a container, whose signals do less than elsewhere."""


def container() -> list[str]:
    tried = shutil.which(FIRST[0]) and subprocess.run([*FIRST, "true"], capture_output=True, check=False)
    if not tried or tried.returncode != 0:
        pytest.skip("there are no namespaces of processes here")
    return FIRST


@pytest.mark.parametrize(("supervisor", "hang"), [("cron", "blocking_call"), ("docker", "greedy_call")])
def test_a_stalled_loop_is_ended_with_all_it_started_and_the_next_runner_goes_on(
    afk: World, supervisor: str, hang: str
) -> None:
    """It does the job, in whose one attempt nothing is burnt, and tells where the last one hung."""
    afk.init('[watch]\nstall = "15s"\n[runner]\nworkers = 1\n', tasks=TASKS)
    release = afk.home / "release"
    afk.afk("enqueue", "sit", json.dumps({"until": str(release)}), "--key", "sit")
    words = ["--once", "--quiet"] if supervisor == "cron" else ["--supervisor", supervisor]
    afk.runs = [*(container() if supervisor == "docker" else []), sys.executable, hanging.__file__]
    words += ["--home", str(afk.home)]
    stalling = afk.start(*words, wait=False)
    eventually(lambda: afk.counts() == {"running": 1}, what="an attempt in flight")
    started = afk.processes()
    assert len(started) >= 3, "a runner, its guard and its worker"

    (afk.home / "work" / hanging.NAME).write_text(hang)

    assert stalling.wait(timeout=120) == 1, "cron starts the next one anyway, Docker because of that"
    eventually(lambda: not any(map(alive, started)), what="none of them left")
    done = afk.call("status", "--check")
    assert (done.returncode, "went without a word" in done.stdout) == (2, True)

    release.touch()
    again = afk.start(*words, wait=False)
    eventually(lambda: afk.counts() == {"done": 1}, what="the job is done")
    assert afk.sql("SELECT attempts, starts, rescues FROM jobs") == [(1, 2, 0)]
    (told,) = afk.sql("SELECT text FROM alerts WHERE key = 'stall'")
    assert f"{hang} (" in told[0]
    assert hang in Path(told[0].rpartition("; see ")[2]).read_text()
    if supervisor == "cron":
        assert again.wait(timeout=60) == 0
