"""What the tests of the command line put into a home before they type."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from runner.commands import JobRequest
from runner.enqueue import insert_jobs, new_job
from runner.home import Home
from runner.settings import load
from runner.store import attempts, controls, leases, runners
from runner.store.attempts import Outcome
from runner.store.jobs import JobStatus
from runner.store.leases import Lease
from runner.store.runners import Runner, RunState
from runner.units import SystemClock, UnixMs

SETTINGS = """\
timezone = "Europe/Berlin"
[budget]
daily_usd = "1.00"
[tasks.digest]
kind = "prompt"
model = "offline/extract"
prompt = "Sum it up."
[tasks.sweep]
kind = "command"
command = ["true"]
"""


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Afk = Callable[..., Answer]


def queue(home: Home, db: sqlite3.Connection, task: str = "digest", **fields: Any) -> str:
    """A pending job; its key."""
    tasks = load(home.root, environ={}).tasks
    request = JobRequest(task=task, payload=fields.pop("payload", {"n": 1}), **fields)
    now = SystemClock().now()
    return insert_jobs(db, [new_job(tasks, request, now=now, max_attempts=4)], now=now, by="a test")[0].key


def bury(home: Home, db: sqlite3.Connection, *, error: str = "it broke", **fields: Any) -> str:
    """A dead letter with one attempt; its key."""
    key = queue(home, db, priority=9, **fields)
    now = SystemClock().now()
    job = leases.claim(db, now=now, lease=Lease(runner="r1", token="t", until=UnixMs(now + 1000)))
    assert job is not None
    assert job.key == key
    attempts.start(db, job_id=job.id, n=1, runner="r1", now=now)
    attempts.end(db, job_id=job.id, n=1, outcome=Outcome.DEAD, now=now, error=error, tail="the last words\n")
    leases.finish(db, id=job.id, token="t", status=JobStatus.DEAD, now=now, error=error)
    return key


def start_runner(db: sqlite3.Connection, *, state: RunState = RunState.RUNNING, **fields: Any) -> None:
    """The row of a runner whose heart beats now. Whoever calls holds the home's lock, or it counts as dead."""
    now = SystemClock().now()
    row = {"id": "r1", "pid": 4121, "pid_started": "1", "boot": "b", "host": "h", "version": "0.1.0"}
    row |= {"state": state, "reason": None, "started_at": now, "heartbeat_at": now, "stop_seq": 0, "ended": None}
    runners.announce(db, Runner(**(row | fields)))
    controls.put_settings(db, {"timezone": "Europe/Berlin", "daily_usd": "1000000", "workers": "2"}, now=now)
