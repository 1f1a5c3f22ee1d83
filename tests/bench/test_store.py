"""The store alone, in one process: every job durable, nothing else measured."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.config import TaskConfig
from tests.bench.ours import Store
from tests.bench.peers import huey_pace, huey_store, synced_frames, synced_writes
from tests.bench.rounds import interleaved
from tests.bench.table import Table

pytestmark = pytest.mark.bench

PART = "The store alone"
JOBS = 1_500
PAGES = 5
"""A commit writes so many: of the jobs, their queue, their attempts, the events and the counters."""


def test_a_durable_job_against_a_synced_write(disk: Path, table: Table) -> None:
    """Finish and claim in one transaction is well ahead of huey, which needs two."""
    store, theirs, bare = Store(disk / "agent.db"), huey_store(disk / "huey.db"), Store(disk / "bare.db")
    found = interleaved(
        {
            "raw": lambda: synced_writes(disk / "raw", 2 * JOBS),
            "frames": lambda: synced_frames(disk / "frames", 2 * JOBS, pages=PAGES),
            "ours": lambda: store.pace(JOBS),
            "two": lambda: store.pace(JOBS, workers=2),
            "four": lambda: store.pace(JOBS, workers=4),
            "bare": lambda: bare.bare(JOBS),
            "huey": lambda: huey_pace(theirs, JOBS),
        },
        rounds=7,
    )
    store.database.close()
    bare.database.close()

    ours, huey = found.ratio("ours", "raw"), found.ratio("huey", "raw")
    against = found.ratio("ours", "huey")
    table.add(PART, "a synced 4 KiB overwrite", f"1.00 ({found.typical('raw'):,.0f}/s)")
    table.add(
        PART,
        "finish and claim in one transaction, with attempt, event and counters, against it",
        f"{ours} ({found.typical('ours'):,.0f}/s)",
        goal="≥ 0.68",
        met=ours.typical >= 0.68,
    )
    for side, what in (
        ("bare", "its statements alone in the same commits, with no line of ours between them, against it"),
        ("frames", f"its {PAGES} pages written and synced with no database at all, which nothing can pass, against it"),
    ):
        table.add(PART, what, found.ratio(side, "raw"))
    for workers in ("two", "four"):
        shared = found.ratio(workers, "raw")
        what = f"the same for {workers} workers whose finishes share a commit, against it"
        pace = f"{shared} ({found.typical(workers):,.0f}/s)"
        table.add(PART, what, pace, goal="≥ 0.68", met=shared.typical >= 0.68)
    table.add(PART, "huey's store, `synchronous=FULL`, against it", huey)
    table.add(PART, "ours against huey's", against, goal="≥ 2", met=against.typical >= 2)
    assert against.typical > 1


COUNTED = """
import sys
from pathlib import Path
from tests.bench.ours import Store
store = Store(Path(sys.argv[1]))
store.pace(500)
store.fill(int(sys.argv[2]))
Path(sys.argv[1] + ".begin").touch()
store.drain()
Path(sys.argv[1] + ".end").touch()
"""


def test_a_job_is_one_sync(disk: Path, table: Table) -> None:
    """A job costs one sync, and its share of the checkpoints'. Counted by the kernel, where strace is installed."""
    count, log = 4_000, disk / "calls"
    counted = [sys.executable, "-c", COUNTED, disk / "agent.db", str(count)]
    try:
        subprocess.run(
            ["strace", "-f", "-o", log, "-e", "trace=fsync,fdatasync,pwrite64,open,openat", *counted],
            check=True,
            cwd=Path(__file__).parents[2],
            capture_output=True,
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("strace is not installed, or may not look")
    lines = log.read_text("utf-8", "replace").splitlines()
    begin, end = (next(i for i, line in enumerate(lines) if f".db.{word}" in line) for word in ("begin", "end"))
    between = lines[begin:end]
    syncs = sum("sync(" in line for line in between) / count
    pages = sum("pwrite64(" in line and ", 4096, " in line for line in between) / count
    table.add(PART, "syncs a job, checkpoints included", f"{syncs:.3f}", goal="≤ 1.05", met=syncs <= 1.05)
    table.add(PART, "4 KiB pages written a job, checkpoints included", f"{pages:.1f}")
    assert syncs <= 1.1


def test_one_job_added(disk: Path, table: Table) -> None:
    """Time on a core of adding one job, durably and once whatever is asked again, beside huey's plain message."""
    from huey import SqliteHuey

    from runner.commands import Door
    from runner.enqueue import JobRequest
    from runner.home import Home

    home, count, rounds = Home(disk / "home"), 300, 9
    home.root.mkdir()
    bare = Store(home.db)
    door, app = Door(home), SqliteHuey("bench", filename=str(disk / "huey.db"), fsync=True)
    message = app.task()(lambda number: number)
    numbers = iter(range(10_000_000))

    def ours() -> None:
        request = JobRequest(task="echo", payload={"n": 1}, key=f"one-{next(numbers):08}")
        door.enqueue({"echo": _task()}, [request], max_attempts=4)

    def theirs() -> None:
        message(next(numbers))

    found = interleaved(
        {
            "ours": lambda: _on_a_core(ours, count),
            "bare": lambda: _on_a_core(lambda: bare.bare_insert(next(numbers)), count),
            "huey": lambda: _on_a_core(theirs, count),
        },
        rounds=rounds,
    )
    door.close()
    bare.database.close()
    app.storage.close()
    for side, what in (
        ("ours", "adding one job, time on a core against huey's"),
        ("bare", "its statements alone, with no line of ours between them, against it"),
    ):
        ratio = found.ratio(side, "huey")
        us = ", ".join(f"{min(found.of[each]) * 1e6:.0f} us" for each in (side, "huey"))
        table.add(PART, what, f"{ratio} (least {us})")


def _on_a_core(act: Callable[[], object], count: int) -> float:
    """Seconds on a core of one act."""
    start = time.thread_time()
    for _ in range(count):
        act()
    return (time.thread_time() - start) / count


def test_rows_added_in_bulk(disk: Path, table: Table) -> None:
    """`enqueue --lines` takes a stream in one transaction."""
    from runner.bulk import BulkDoor
    from runner.enqueue import JobRequest
    from runner.home import Home

    home = Home(disk / "home")
    home.root.mkdir()
    Store(home.db).database.close()
    count, rounds = 50_000, 3
    store = Store(disk / "other.db")

    def door(round: int) -> float:
        door = BulkDoor(home)
        requests = ((i, JobRequest(task="echo", payload={"n": i}, key=f"e{round}-{i:08}")) for i in range(count))
        start = time.perf_counter()
        added = door.enqueue_all({"echo": _task()}, requests, max_attempts=4)
        seconds = time.perf_counter() - start
        assert added.created == count
        door.close()
        return count / seconds

    def rows() -> float:
        start = time.perf_counter()
        store.fill(count)
        return count / (time.perf_counter() - start)

    numbers = iter(range(rounds + 1))
    found = interleaved({"door": lambda: door(next(numbers)), "rows": rows}, rounds=rounds)
    for side, what in (
        ("rows", "rows inserted in one transaction"),
        ("door", "through the write door, with its checks"),
    ):
        pace = found.typical(side)
        table.add(PART, what, f"{pace / 1000:,.0f} k/s", goal="≥ 100 k/s", met=pace >= 100_000)
    store.database.close()


def test_pruning(disk: Path, table: Table) -> None:
    """Old rows go in short transactions, so that nobody waits long behind one."""
    from runner.care import retention
    from runner.units import UnixMs

    store = Store(disk / "agent.db")
    count = 50_000
    store.keep_finished(count)
    step = retention.finished_jobs(UnixMs(10), 0)
    after: int | None = 0
    longest, gone = 0.0, 0
    start = time.perf_counter()
    while after is not None:
        began = time.perf_counter()
        with store.database.write() as db:
            went, after, _ = step.act(db, after)
        longest = max(longest, time.perf_counter() - began)
        gone += went
    pace = gone / (time.perf_counter() - start)
    assert gone == count
    table.add(PART, "finished rows pruned", f"{pace / 1000:,.0f} k/s", goal="≥ 40 k/s", met=pace >= 40_000)
    table.add(PART, "longest transaction of it", f"{longest * 1000:.0f} ms", goal="≤ 20 ms", met=longest <= 0.02)
    store.database.close()


def _task() -> TaskConfig:
    from runner.config import TaskKind

    return TaskConfig(name="echo", kind=TaskKind.PYTHON)
