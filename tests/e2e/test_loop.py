"""The whole loop once, in the real programs."""

from __future__ import annotations

from tests.e2e.world import World, eventually

TASKS = """
from runner import task

@task("echo")
def echo(ctx, payload):
    return payload
"""


def test_a_job_is_done_by_a_real_runner(afk: World) -> None:
    """What is queued by one process is done by another, with its result on the row."""
    afk.init("[runner]\nworkers = 1\n", tasks=TASKS)
    afk.start()

    key = afk.json("enqueue", "echo", '{"word": "hello"}')["key"]

    eventually(lambda: afk.json("job", key)["status"] == "done")
    assert afk.json("job", key)["result"] == {"word": "hello"}
