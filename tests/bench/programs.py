"""The real programs, ours and huey's, on a home of their own: started, fed, watched."""

from __future__ import annotations

import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from runner.commands import Door
from runner.config import TaskConfig, TaskKind
from runner.enqueue import JobRequest
from runner.home import Home
from tests.bench.peers import HUEY_APP
from tests.e2e.world import World, eventually, world

TASKS = """
import time
from runner import task

@task("noop")
def noop(ctx, payload):
    return payload["n"]

@task("begun")
def begun(ctx, payload):
    return time.monotonic_ns() - payload["asked"]
"""
LOST_S = 10.0
"""A consumer that did nothing for so long will not do the rest."""
TASKS_OF_OURS = {name: TaskConfig(name=name, kind=TaskKind.PYTHON) for name in ("noop", "begun")}


@dataclass(slots=True)
class Ours:
    """A home of ours, written through the door that the command line uses."""

    world: World
    door: Door
    watch: sqlite3.Connection
    keys: int = 0

    def ask(self, task: str, payload: dict[str, object]) -> None:
        """Enqueue one job, durable when this returns."""
        self.keys += 1
        request = JobRequest(task=task, payload=payload, key=f"{task}-{self.keys:08}")
        self.door.enqueue(TASKS_OF_OURS, [request], max_attempts=4)

    def ask_all(self, count: int) -> None:
        """Enqueue many at once."""
        requests = []
        for _ in range(count):
            self.keys += 1
            requests.append(JobRequest(task="noop", payload={"n": self.keys}, key=f"noop-{self.keys:08}"))
        self.door.enqueue(TASKS_OF_OURS, requests, max_attempts=4)

    def done(self) -> int:
        """Jobs done so far; a look of a few microseconds."""
        return int(self.watch.execute("SELECT done FROM board").fetchone()[0])

    def results(self, task: str) -> list[Any]:
        """What the jobs of a task gave."""
        return [int(row[0]) for row in self.watch.execute("SELECT result FROM jobs WHERE task = ?", (task,))]


@contextmanager
def ours(root: Path, *, workers: int) -> Iterator[Ours]:
    """A runner with warm workers."""
    root.mkdir(exist_ok=True)
    with world(root) as made:
        made.init(f"[runner]\nworkers = {workers}\n", tasks=TASKS)
        made.start()
        watch = sqlite3.connect(f"file:{made.home / 'agent.db'}?mode=ro", uri=True, isolation_level=None)
        door = Door(Home(made.home))
        side = Ours(made, door, watch)
        side.ask_all(50 * workers)
        eventually(lambda: side.done() == 50 * workers, what="every worker warm")
        yield side
        door.close()
        watch.close()


@dataclass(slots=True)
class Huey:
    """A huey with its consumer."""

    app: ModuleType
    watch: sqlite3.Connection
    keys: int = 0

    def ask(self, task: str, payload: dict[str, object]) -> None:
        """Enqueue one job, durable when this returns."""
        self.keys += 1
        getattr(self.app, task)(*payload.values())

    def ask_all(self, count: int) -> None:
        """Enqueue many in one transaction, which it has no word for: its own messages, its own table."""
        storage = self.app.huey.storage
        messages = []
        for _ in range(count):
            self.keys += 1
            messages.append((storage.name, self.app.huey.serialize_task(self.app.noop.s(self.keys)), 0))
        with storage.db(commit=True) as cursor:
            cursor.executemany("insert into task (queue, data, priority) values (?, ?, ?)", messages)

    def done(self) -> int:
        """Results so far."""
        return int(self.watch.execute("SELECT count(*) FROM kv").fetchone()[0])

    def results(self, task: str) -> list[Any]:
        """What every job gave."""
        return [pickle.loads(row[0]) for row in self.watch.execute("SELECT value FROM kv")]


@contextmanager
def huey(root: Path, *, workers: int) -> Iterator[Huey]:
    """A consumer with process workers, otherwise as huey starts it."""
    root.mkdir(exist_ok=True)
    name = f"bench_huey_{abs(hash(root))}"
    (root / f"{name}.py").write_text(HUEY_APP.format(path=str(root / "huey.db")))
    app = ModuleType(name)
    exec(compile(HUEY_APP.format(path=str(root / "huey.db")), name, "exec"), app.__dict__)
    for task in (app.noop, app.begun):  # a message names the module its consumer finds the task in
        app.huey._registry.unregister(task.task_class)
        task.task_class.__module__ = name
        app.huey._registry.register(task.task_class)
    with (root / "log").open("wb") as log:
        consumer = subprocess.Popen(
            [str(Path(sys.executable).parent / "huey_consumer"), f"{name}.huey", "-w", str(workers), "-k", "process"],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    watch = sqlite3.connect(f"file:{root / 'huey.db'}?mode=ro", uri=True, isolation_level=None)
    side = Huey(app, watch)
    try:
        side.ask_all(50 * workers)
        eventually(lambda: side.done() == 50 * workers, what="huey's consumer at work")
        yield side
    finally:
        os.killpg(consumer.pid, signal.SIGKILL)
        consumer.wait()
        watch.close()
        app.huey.storage.close()


def drain_pace(side: Ours | Huey, count: int) -> float:
    """Jobs a second from the moment `count` of them are queued at once until the last is done."""
    before = side.done()
    side.ask_all(count)
    return _pace(side, before, count, time.perf_counter())


def feed_pace(side: Ours | Huey, count: int) -> float:
    """The same with each of them enqueued durably by itself, beside the workers."""
    before = side.done()
    start = time.perf_counter()
    for number in range(count):
        side.ask("noop", {"n": number})
    return _pace(side, before, count, start)


def _pace(side: Ours | Huey, before: int, count: int, start: float) -> float:
    deadline = start + 120
    done, at = 0, start
    while done < count:
        now = time.perf_counter()
        if (seen := side.done() - before) > done:
            done, at = seen, now
        # On a busy disk huey loses a job to a locked database now and then: its pace is that of what it did.
        elif isinstance(side, Huey) and done >= 0.99 * count and now > at + LOST_S:
            break
        assert now < deadline, f"{done} of {count} done in two minutes"
        time.sleep(0.005)
    return done / (at - start)
