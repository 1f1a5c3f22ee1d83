"""The care of a home's data: how long its transactions are, and how long others wait beside it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runner.care.prune import prune
from runner.config import RunnerConfig
from runner.home import Home
from runner.store import events
from runner.store.db import Database
from runner.units import DAY_MS
from tests.bench.ours import CLOCK, Store
from tests.bench.rounds import percentile
from tests.bench.table import Table

pytestmark = pytest.mark.bench

PART = "Care of the data"
JOBS = 100_000
LOOK = """
import sys
from pathlib import Path
from runner.care.check import Verdict, check
from runner.units import SystemClock
assert not [line for line in check(Path(sys.argv[1]), deep=True, now=SystemClock().now()) if line.verdict == "fail"]
"""


@pytest.fixture
def old(disk: Path) -> Home:
    """A home with many finished jobs, attempts and events of long ago."""
    home = Home(disk)
    store = Store(home.db)
    store.keep_finished(JOBS)
    with store.database.write() as db:
        for _ in range(JOBS // 1_000):
            db.executemany(
                "INSERT INTO events (at, level, event, text) VALUES (1, 'info', 'job.done', 'done')", [()] * 1_000
            )
    store.database.checkpoint(truncate=True)
    store.database.close()
    return home


def test_pruning_lets_go_in_short_transactions(old: Home, table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    lasted, on_core = list[float](), list[float]()
    write = Database.write

    @contextmanager
    def timed(self: Database) -> Iterator[sqlite3.Connection]:
        start, core = time.perf_counter(), time.thread_time()
        with write(self) as db:
            yield db
        lasted.append(1000 * (time.perf_counter() - start))
        on_core.append(1000 * (time.thread_time() - core))

    monkeypatch.setattr(Database, "write", timed)
    kept = RunnerConfig(keep_finished_ms=DAY_MS, keep_finished=0)
    began = time.perf_counter()
    done = prune(old, kept, by="bench", now=CLOCK.now())
    pace = sum(done.rows.values()) / (time.perf_counter() - began)
    at = percentile(lasted, 0.99)
    table.add(PART, "prune: rows a second", f"{pace:,.0f}")
    table.add(PART, f"prune: 99 of 100 of its {len(lasted)} transactions", f"{at:.1f} ms", goal="≤ 20 ms", met=at <= 20)
    table.add(PART, "prune: the longest, and the longest on a core", f"{max(lasted):.1f} ms, {max(on_core):.1f} ms")


def test_a_deep_look_lets_everybody_write(old: Home, table: Table) -> None:
    """It only reads, so writers go on; the log they fill cannot be reused before a statement of it is over."""
    visitor = Database.open(old.db)
    waits, largest = [], 0
    began = time.perf_counter()
    look = subprocess.Popen([sys.executable, "-c", LOOK, old.db], cwd=Path(__file__).parents[2])
    while look.poll() is None:
        start = time.perf_counter()
        with visitor.write() as db:
            events.record(db, now=CLOCK.now(), level=events.INFO, event="visit", text="a small write")
        waits.append(1000 * (time.perf_counter() - start))
        largest = max(largest, old.db.with_name("agent.db-wal").stat().st_size)
        time.sleep(0.01)
    assert look.returncode == 0
    took = time.perf_counter() - began
    visitor.close()
    at = percentile(waits, 0.95)
    table.add(PART, f"check --deep of {JOBS:,} finished jobs", f"{took:.1f} s")
    table.add(PART, "a small write beside it, 95 of 100 within", f"{at:.2f} ms", goal="≤ 5 ms", met=at <= 5)
    table.add(PART, f"the longest of {len(waits)}", f"{max(waits):.1f} ms", goal="≤ 50 ms", met=max(waits) <= 50)
    table.add(PART, "the -wal file beside it", f"{largest / 1024 / 1024:.1f} MB", goal="≤ 16 MB", met=largest <= 2**24)
