"""Others on the same file while the store is drained without pause: a visitor that writes, a screen that reads."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runner.home import Home
from runner.snapshot import Reader
from runner.store import events
from runner.store.db import Database
from tests.bench.ours import CLOCK, Store
from tests.bench.rounds import percentile
from tests.bench.table import Table

pytestmark = pytest.mark.bench

PART = "Beside a drain that never pauses"
LASTS_S = 6.0

DRAIN = """
import sys
from pathlib import Path
from tests.bench.ours import Store
store = Store(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    store.keys = store.keys or int(sys.argv[2])
    store.fill(200)
    store.drain()
"""


@contextmanager
def _drain(path: Path) -> Iterator[None]:
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", DRAIN, path, "1000000"], cwd=root, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"ready\n"
        yield
        assert process.poll() is None, "the drain ended by itself"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_small_write_lands_soon(disk: Path, table: Table) -> None:
    """A person's write, such as a kill, does not queue up behind the runner's."""
    Store(disk / "agent.db").database.close()
    visitor = Database.open(disk / "agent.db")
    waits = []
    with _drain(disk / "agent.db"):
        end = time.monotonic() + LASTS_S
        while time.monotonic() < end:
            start = time.perf_counter()
            with visitor.write() as db:
                events.record(db, now=CLOCK.now(), level=events.INFO, event="visit", text="a small write")
            waits.append(time.perf_counter() - start)
            time.sleep(0.01)
    visitor.close()
    at, worst = percentile(waits, 0.95) * 1000, max(waits) * 1000
    table.add(PART, "a visitor's small write, median", f"{percentile(waits, 0.5) * 1000:.2f} ms")
    table.add(PART, "95 of 100 within", f"{at:.2f} ms", goal="≤ 5 ms", met=at <= 5)
    table.add(PART, f"the longest of {len(waits)}", f"{worst:.1f} ms", goal="≤ 50 ms", met=worst <= 50)


def test_the_log_stays_short_beside_a_screen(disk: Path, table: Table) -> None:
    """A screen that reads ten times a second does not keep the log from being reused."""
    Store(disk / "agent.db").database.close()
    reader = Reader(Home(disk))
    largest = 0
    with _drain(disk / "agent.db"):
        end = time.monotonic() + LASTS_S
        while time.monotonic() < end:
            reader.vitals(now=CLOCK.now())
            reader.running(cut=True)
            largest = max(largest, (disk / "agent.db-wal").stat().st_size)
            time.sleep(0.1)
    reader.close()
    size = largest / 1024 / 1024
    table.add(PART, "the -wal file beside a 10 Hz screen", f"{size:.1f} MB", goal="≤ 16 MB", met=size <= 16)
    assert size < 64
