"""A job that fails, and what a person can do about jobs: replay, cancel, remove, pause."""

from __future__ import annotations

import signal
from datetime import datetime
from typing import Any

import pytest

from tests.e2e.world import DEADLINE_S, World, eventually

BASE_MS = 200

TOML = f"""
[runner]
workers = 2
[retry]
base = "{BASE_MS}ms"
cap = "60s"
"""

QUICK = """
[runner]
workers = 2
[retry]
max_attempts = 2
base = "1ms"
"""

TASKS = """
import os, time
from runner import Dead, Retry, task

HOME = os.path.dirname(os.path.dirname(__file__))

@task("needy")
def needy(ctx, payload):
    print("looking for it")
    ctx.step("once", lambda: open(os.path.join(HOME, "effects"), "a").write(ctx.key + "\\n"))
    path = os.path.join(HOME, "needed")
    if not os.path.exists(path):
        raise FileNotFoundError(f"there is no file {path}")
    return "found it"

@task("hopeless")
def hopeless(ctx, payload):
    raise Dead(f"the box {payload['box']!r} is gone")

@task("patient")
def patient(ctx, payload):
    raise Retry("not yet", after_s=3600)

@task("good")
def good(ctx, payload):
    return payload

@task("long")
def long(ctx, payload):
    time.sleep(3600)
"""


def at(stamp: str) -> int:
    """Milliseconds of an ISO time."""
    return int(datetime.fromisoformat(stamp).timestamp() * 1000)


def settled(afk: World, key: str, status: str) -> dict[str, Any]:
    """The job, once it has that status."""
    return eventually(lambda: (job := afk.json("job", key))["status"] == status and job, what=f"{key} {status}")


def why(afk: World, key: str) -> str:
    return afk.afk("why", key)


def test_a_failing_job_is_tried_four_times_and_set_aside(afk: World) -> None:
    """Growing gaps, four attempts, dead letter with its error, good jobs undisturbed; replay completes it."""
    afk.init(TOML, tasks=TASKS)
    afk.start()
    bad = afk.json("enqueue", "needy", "--priority", "9")["key"]
    afk.afk("enqueue", "--lines", stdin="\n".join(f'{{"task": "good", "payload": {n}}}' for n in range(40)))

    eventually(lambda: afk.counts().get("done") == 40, what="the good ones done")
    job = settled(afk, bad, "dead")

    assert {row[0] for row in afk.sql("SELECT attempts FROM jobs WHERE task = 'good'")} == {1}
    history = job["attempts_log"]
    assert [each["outcome"] for each in history] == ["retry"] * 4
    assert all("there is no file" in each["error"] for each in history)
    assert "FileNotFoundError: there is no file" in job["error"]
    assert "work.py:" in job["error"], "where it was raised is told"
    _gaps_keep_their_ceilings(afk, bad)
    assert [row[0] for row in afk.sql("SELECT key FROM dead_letter")] == [bad]
    assert "afk-runner replay" in why(afk, bad)
    assert [dead["key"] for dead in afk.json("dead")] == [bad]

    (afk.home / "needed").touch()
    assert afk.json("replay", bad)["replayed"] == [bad]
    job = settled(afk, bad, "done")

    assert job["result"] == "found it"
    assert job["attempts"] == 1
    assert [each["outcome"] for each in job["attempts_log"]] == ["retry"] * 4 + ["done"]
    assert job["attempts_log"][:4] == history, "its old attempts are still there"
    assert job["error"] is None
    assert (afk.home / "effects").read_text() == f"{bad}\n", "the recorded step was not done again"


def _gaps_keep_their_ceilings(afk: World, key: str) -> None:
    """Each wait that was drawn lies under its ceiling, no attempt began before it was over, and ceilings double."""
    waits = [
        row[0] for row in afk.sql("SELECT text FROM events WHERE event = 'job.retry' AND job = ? ORDER BY id", key)
    ]
    assert len(waits) == 3
    log = afk.json("job", key)["attempts_log"]
    ceilings = [BASE_MS * 2**n for n in range(3)]
    for n, (told, ceiling) in enumerate(zip(waits, ceilings, strict=True)):
        assert f"attempt {n + 1} of 4 failed" in told
        wait = told.partition("tried again after ")[2].partition(":")[0]
        assert wait.endswith("ms"), wait
        wait_ms = int(wait.removesuffix("ms"))
        assert 0 <= wait_ms <= ceiling
        gap = at(log[n + 1]["started_at"]) - at(log[n]["ended_at"])
        assert wait_ms <= gap <= ceiling + DEADLINE_S * 1000, "the wait is on the row, the slack is the machine's"


def test_replay_of_one_error_leaves_the_others_dead(afk: World) -> None:
    """Dead letters of one cause share a fingerprint, whatever names and numbers differ; --all takes the rest."""
    afk.init(QUICK, tasks=TASKS)
    afk.start()
    gone = [afk.json("enqueue", "hopeless", f'{{"box": "b{n}"}}')["key"] for n in range(3)]
    needy = afk.json("enqueue", "needy")["key"]
    eventually(lambda: afk.counts().get("dead") == 4, what="all dead")
    (print_,) = {row[0] for row in afk.sql("SELECT fingerprint FROM dead_letter WHERE task = 'hopeless'")}
    afk.afk("pause", "hopeless")

    assert set(afk.json("replay", "--error", print_, "--dry-run")["would_replay"]) == set(gone)
    assert afk.counts() == {"dead": 4}, "a dry run changes nothing"
    assert set(afk.json("replay", "--error", print_)["replayed"]) == set(gone)

    assert afk.counts() == {"dead": 1, "pending": 3}
    (afk.home / "needed").touch()
    assert afk.json("replay", "--all")["replayed"] == [needy]
    assert settled(afk, needy, "done")["status"] == "done"
    afk.afk("replay", "--all", code=1)
    afk.afk("replay", "--error", "00000000", code=1)
    refused = afk.json("replay", needy, code=1)["refused"]
    assert refused == [{"key": needy, "reason": "it is done, not dead"}]


def test_a_hopeless_job_is_dead_at_once(afk: World) -> None:
    """`Dead` takes one attempt whatever is left; the words of it are the error."""
    afk.init(TOML, tasks=TASKS)
    afk.start()
    key = afk.json("enqueue", "hopeless", '{"box": "inbox"}')["key"]

    job = settled(afk, key, "dead")

    assert [each["outcome"] for each in job["attempts_log"]] == ["dead"]
    assert "the box 'inbox' is gone" in job["error"]


def test_a_pending_job_is_cancelled_and_removed(afk: World) -> None:
    """Without a runner: cancelled at once, never done later, and gone when removed."""
    afk.init(QUICK, tasks=TASKS)
    key = afk.json("enqueue", "good", "--in", "1h")["key"]
    assert "no runner works on this home" in why(afk, key)
    assert "until 20" in why(afk, key)
    afk.afk("remove", key, code=1)

    assert afk.json("cancel", key)["cancelled"] == [key]

    assert afk.json("job", key)["status"] == "cancelled"
    assert "is cancelled since" in why(afk, key)
    assert afk.json("cancel", key, code=1)["refused"] == [{"key": key, "reason": "it is cancelled already"}]
    assert afk.json("remove", key)["removed"] == [key]
    afk.afk("job", key, code=1)
    assert afk.one("SELECT cancelled FROM board") == 0


def test_a_running_job_is_cancelled(afk: World) -> None:
    """Its worker is ended, its attempt kept and not counted, and the next job gets the place."""
    afk.init("[runner]\nworkers = 1\n", tasks=TASKS)
    afk.start()
    key = afk.json("enqueue", "long")["key"]
    settled(afk, key, "running")
    assert "is running now" in why(afk, key)
    afk.afk("remove", key, code=1)

    afk.afk("cancel", key)

    job = settled(afk, key, "cancelled")
    assert job["attempts"] == 0
    assert [each["outcome"] for each in job["attempts_log"]] == ["cancelled"]
    afk.afk("enqueue", "good")
    eventually(lambda: afk.counts().get("done") == 1, what="the next job done")


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_cancelled_job_does_not_come_back_when_its_runner_goes(afk: World, when: str) -> None:
    """Cancelled while it runs, and the runner shut down or killed at the same moment: still cancelled."""
    afk.init('[runner]\nworkers = 1\nstop_grace = "0s"\n', tasks=TASKS)
    runner = afk.start()
    key = afk.json("enqueue", "long")["key"]
    settled(afk, key, "running")

    if when == "before":
        afk.kill9(runner)
        afk.afk("cancel", key)
        afk.start()
    else:
        # The request is committed while the runner cannot look; the first thing it sees is the shutdown.
        afk.freeze(runner)
        afk.afk("cancel", key)
        runner.terminate()
        runner.send_signal(signal.SIGCONT)
        runner.wait(timeout=60)

    assert settled(afk, key, "cancelled")["attempts"] == 0


def test_a_paused_task_waits_unburnt(afk: World) -> None:
    """Its due jobs go behind the pause with no attempt and no start; unpaused, they are due at once."""
    afk.init(QUICK, tasks=TASKS)
    afk.start()
    afk.afk("pause", "good", "--reason", "the feed is down")
    keys = [afk.json("enqueue", "good", f"{n}")["key"] for n in range(3)]
    later = afk.json("enqueue", "good", '"later"', "--in", "1h")["key"]
    eventually(
        lambda: afk.one("SELECT count(*) FROM jobs WHERE waiting_gate = 'pause:good'") == 3, what="put behind the pause"
    )

    job = afk.json("job", keys[0])
    assert (job["status"], job["attempts"], job["attempts_log"]) == ("pending", 0, [])
    assert "task good is paused" in why(afk, keys[0])
    assert "the feed is down" in why(afk, keys[0])
    assert "afk-runner unpause good" in why(afk, keys[0])

    afk.afk("unpause", "good")

    eventually(lambda: afk.counts().get("done") == 3, what="done after the pause")
    assert {row[0] for row in afk.sql("SELECT starts FROM jobs WHERE status = 'done'")} == {1}
    assert "asked for a later time" in why(afk, later)
    assert afk.json("job", later)["status"] == "pending"


def test_a_job_waiting_for_its_retry_says_so(afk: World) -> None:
    """`why` names the attempt that failed and the time of the next."""
    afk.init(QUICK, tasks=TASKS)
    afk.start()
    key = afk.json("enqueue", "patient")["key"]
    eventually(lambda: afk.one("SELECT attempts FROM jobs") == 1, what="the first attempt over")

    said = why(afk, key)

    assert "attempt 1 of 2 failed, it is tried again after 1h" in said
    assert "until 20" in said
