"""`run --once` works off all that is due and ends, and makes nothing up where something is missing."""

from __future__ import annotations

import time
from contextlib import closing

from runner.store import alerts, events
from runner.store.db import Database
from runner.units import DAY_MS, HOUR_MS, UnixMs
from tests.e2e import patient
from tests.e2e.world import World, noon

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


def test_a_home_that_only_cron_starts_is_cleaned_up(afk: World) -> None:
    """Old jobs go, alerts that lapsed are closed, and the day's report is written, by a run of a second."""
    head = f'timezone = "{noon()}"\n[runner]\nworkers = 1\nkeep_finished_for = "1d"\n'
    afk.init(head + '[report]\nat = "00:00"\n', tasks=TASKS)
    afk.runs = patient.RUNS
    afk.afk("enqueue", "echo", "--key", "old")
    assert afk.start("--once", wait=False).wait() == 0
    now = UnixMs(time.time_ns() // 1_000_000)
    with closing(Database.open(afk.home / "agent.db")) as database, database.write() as db:
        for moved in ("jobs SET finished_at = finished_at", "runners SET started_at = started_at"):
            db.execute(f"UPDATE {moved} - ?", (60 * DAY_MS,))
        cap = alerts.cap_key("global", "2030-03-01", 80)
        lapses_at = UnixMs(now - HOUR_MS)
        alerts.raise_alert(db, key=cap, level=events.WARN, text="80%", now=UnixMs(now - DAY_MS), lapses_at=lapses_at)
    afk.afk("enqueue", "echo", "--key", "new")

    assert afk.start("--once", wait=False).wait() == 0

    assert afk.sql("SELECT key, status FROM jobs") == [("new", "done")]
    assert afk.sql("SELECT key, ending FROM alerts") == [(cap, "lapsed")]
    assert [path.suffix for path in (afk.home / "reports").iterdir()] == [".md"]


def test_what_init_says_comes_next_works_as_it_is(afk: World) -> None:
    """A stranger who types just that sees a job done, and keeps what stands in `inputs/` when it is typed again."""
    said = afk.call("init").stderr
    words = [each.split()[1:] for each in said.split("`")[1::2]]
    assert [each[0] for each in words] == ["doctor", "enqueue", "run"]

    for each in words:
        afk.afk(*each, *(["--once"] if each == ["run"] else []))
    page = afk.home / "inputs" / "welcome.md"
    page.unlink()
    afk.afk("init")

    (job,) = afk.json("jobs")
    assert (job["task"], job["status"], job["cost_microusd"]) == ("sample", "done", 0)
    assert "tried again" in afk.json("job", job["key"])["result"]
    assert not page.exists()
