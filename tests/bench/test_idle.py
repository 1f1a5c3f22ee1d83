"""What a runner with nothing to do costs its machine."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.bench.programs import ours
from tests.bench.table import Table

pytestmark = pytest.mark.bench

PART = "A runner that waits"
WINDOW_S = 20.0


def test_waiting_costs_little(disk: Path, table: Table) -> None:
    """Time on a core, and memory, of the runner and of each worker."""
    with ours(disk / "ours", workers=2) as side:
        runner = side.world.sql("SELECT pid FROM runners WHERE ended IS NULL")[0][0]
        workers = side.world.workers(side.world._runners[0])
        time.sleep(1)
        before = _cpu_s(runner), [_cpu_s(pid) for pid in workers]
        start = time.monotonic()
        time.sleep(WINDOW_S)
        lasted = time.monotonic() - start
        spent = (_cpu_s(runner) - before[0]) / lasted * 100
        theirs = sum(_cpu_s(pid) - was for pid, was in zip(workers, before[1], strict=True)) / lasted * 100
        rss, worker_rss = _rss_mb(runner), max(_rss_mb(pid) for pid in workers)
    table.add(PART, "time on a core, the runner", f"{spent:.2f} %", goal="aim 0.3 %", met=spent <= 0.3)
    table.add(PART, "time on a core, its two workers together", f"{theirs:.2f} %")
    table.add(PART, "memory of the runner", f"{rss:.0f} MB", goal="aim 60 MB", met=rss <= 60)
    table.add(PART, "memory of a worker", f"{worker_rss:.0f} MB")


def _cpu_s(pid: int) -> float:
    """Seconds on a core of all threads of a process, to the nanosecond where ticks are too coarse."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def _rss_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024
