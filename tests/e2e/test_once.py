"""`run --once` works off all that is due and ends, and makes nothing up where something is missing."""

from __future__ import annotations

from tests.e2e.world import World

TASKS = """
import os
from runner import task

@task("echo")
def echo(ctx, payload):
    return payload

@task("crash", max_attempts=1)
def crash(ctx, payload):
    os._exit(3)
"""


def test_once_goes_on_over_recycled_workers(afk: World) -> None:
    """A worker that is replaced is no reason to believe that the queue is empty."""
    afk.init("[runner]\nworkers = 1\nrecycle_after = 2\n", tasks=TASKS)
    afk.afk("enqueue", "echo", "--lines", stdin="".join(f'{{"payload": {{"n": {n}}}}}\n' for n in range(8)))

    afk.afk("run", "--once")

    assert afk.counts() == {"done": 8}


def test_once_goes_on_over_a_worker_that_died(afk: World) -> None:
    """What a crash leaves due is done by the next worker."""
    afk.init("[runner]\nworkers = 1\n", tasks=TASKS)
    afk.afk("enqueue", "crash", "--priority", "9")
    afk.afk("enqueue", "echo", "--lines", stdin="".join(f'{{"payload": {{"n": {n}}}}}\n' for n in range(5)))

    afk.afk("run", "--once")

    assert afk.counts() == {"done": 5, "dead": 1}


def test_a_lost_database_is_not_made_anew_by_a_run(afk: World) -> None:
    """An empty database has forgotten what today has cost: only `init` makes one."""
    afk.init("", tasks=TASKS)
    for path in afk.home.glob("agent.db*"):
        path.unlink()

    done = afk.call("run", "--once")

    assert done.returncode == 74
    assert "there is no database" in done.stderr
    assert not (afk.home / "agent.db").exists()
