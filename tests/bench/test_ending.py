"""How long a payload that is deaf to TERM, and its daemon in a session of its own, outlast their end."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bench.table import Table
from tests.e2e.test_workers import SHELL, TASKS, TOML, gone, pids
from tests.e2e.world import World, eventually, world

pytestmark = pytest.mark.bench

PART = "What is ended"
ROUNDS = 10
GOAL_S = 5.0


def test_nothing_stays_for_long(disk: Path, table: Table) -> None:
    """A payload whose runner is killed with -9, and one that is cancelled while its runner lives."""
    with world(disk / "ours") as afk:
        afk.init(TOML + SHELL, tasks=TASKS)
        killed, cancelled = [], []
        for number in range(ROUNDS):
            runner = afk.start()
            killed.append(_lasts(afk, f"killed-{number}", lambda runner=runner: afk.kill9(runner)))  # type: ignore[misc]
            afk.start()
            key = f"killed-{number}"
            cancelled.append(_lasts(afk, None, lambda key=key: afk.afk("cancel", key)))  # type: ignore[misc]
            eventually(lambda: "running" not in afk.counts(), what="its end recorded")
            afk.end()
    for what, took in (("SIGKILL of the runner", killed), ("a cancel", cancelled)):
        longest = max(took)
        shown = f"{longest * 1000:,.0f} ms"
        table.add(PART, f"after {what}, the longest of {ROUNDS}", shown, goal="≤ 5 s", met=longest <= GOAL_S)


def _lasts(afk: World, key: str | None, end: Callable[[], object]) -> float:
    """Seconds from the act until no process of the payload is left; `key`: of a job to queue for it."""
    if key is not None:
        afk.afk("enqueue", "shell", "--key", key)
    found = pids(afk, 2)
    start = time.perf_counter()
    end()
    while not gone(*found):
        time.sleep(0.01)
    (afk.home / "pids").unlink()
    return time.perf_counter() - start
