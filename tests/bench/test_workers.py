"""No-op Python jobs through real programs: `afk-runner run` beside huey's consumer with process workers."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.bench.programs import Huey, Ours, drain_pace, feed_pace, huey, ours
from tests.bench.rounds import interleaved, percentile
from tests.bench.table import Table
from tests.e2e.world import eventually

pytestmark = pytest.mark.bench

PART = "Through real worker processes"
JOBS = 1_000


@pytest.mark.parametrize("workers", [2, 4])
def test_draining_no_ops(disk: Path, table: Table, workers: int) -> None:
    """At least level with huey on SQLite at the same durability."""
    with ours(disk / "ours", workers=workers) as mine, huey(disk / "huey", workers=workers) as theirs:
        drained = interleaved(
            {"ours": lambda: drain_pace(mine, JOBS), "huey": lambda: drain_pace(theirs, JOBS)}, rounds=5
        )
        fed = interleaved({"ours": lambda: feed_pace(mine, JOBS), "huey": lambda: feed_pace(theirs, JOBS)}, rounds=3)
    for what, found in (("drain", drained), ("enqueue one by one and drain", fed)):
        ratio = found.ratio("ours", "huey")
        table.add(
            PART,
            f"{what}, {workers} workers, against huey's",
            f"{ratio} ({found.typical('ours'):,.0f}/s to {found.typical('huey'):,.0f}/s)",
            goal="≥ 1, aim 2",
            met=ratio.typical >= 1,
        )
        assert ratio.typical > 0.5


def test_from_enqueue_to_start(disk: Path, table: Table) -> None:
    """A poked runner starts a job long before one that polls."""
    with ours(disk / "ours", workers=2) as mine, huey(disk / "huey", workers=2) as theirs:
        ask_in_turns(mine, theirs, 150)
        took = {
            "ours": [ns / 1e6 for ns in mine.results("begun")],
            "huey": [ns / 1e6 for ns in theirs.results("begun")[-150:]],
        }
    for side, values in took.items():
        p50, p95 = percentile(values, 0.5), percentile(values, 0.95)
        goal = side == "ours"
        table.add(
            PART,
            f"from enqueue in one process to start in another, {side}, median",
            f"{p50:.1f} ms",
            goal="< 5 ms, aim 2" if goal else "",
            met=p50 < 5 if goal else None,
        )
        table.add(PART, "95 of 100", f"{p95:.1f} ms", goal="aim 5 ms" if goal else "", met=p95 <= 5 if goal else None)
    assert percentile(took["ours"], 0.5) < percentile(took["huey"], 0.5)


def ask_in_turns(mine: Ours, theirs: Huey, count: int) -> None:
    """One job to each, now and then, until all have begun."""
    rng = random.Random(11)
    goal_ours, goal_theirs = mine.done() + count, theirs.done() + count
    for _ in range(count):
        for side in (mine, theirs):
            side.ask("begun", {"asked": time.monotonic_ns()})
            time.sleep(rng.uniform(0.02, 0.08))
    eventually(lambda: mine.done() >= goal_ours and theirs.done() >= goal_theirs, what="all begun")
