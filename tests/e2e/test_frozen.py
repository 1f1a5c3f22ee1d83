"""A real runner that is frozen from outside for longer than its loop may stand still, with a real watchdog."""

from __future__ import annotations

import json
import signal
import time

from runner.units import HOUR_MS, MINUTE_MS, iso
from tests.e2e.clocks import Clocks
from tests.e2e.test_clock import TASKS, TOML
from tests.e2e.world import World, eventually

FROZEN_S = 25.0
"""Longer than `stall`, by more than what passes between two heartbeats."""


def test_a_runner_that_is_frozen_for_longer_than_it_may_stand_still_loses_nothing(afk: World) -> None:
    """Its watchdog's own timer runs on, so it is mostly ended when it thaws, and its supervisor starts it again."""
    afk.init('[watch]\nstall = "15s"\n' + TOML, tasks=TASKS)
    clocks = Clocks(afk)
    runner = afk.start("--supervisor", "systemd")
    release = afk.home / "release"
    afk.json("enqueue", "long", json.dumps({"until": str(release)}), "--key", "long")
    eventually(lambda: afk.one("SELECT status FROM jobs WHERE key = 'long'") == "running", what="an attempt in flight")

    runner.send_signal(signal.SIGSTOP)
    beat = afk.home / "heartbeat"
    eventually(lambda: time.time() - beat.stat().st_mtime > FROZEN_S, what="frozen for too long")
    clocks.go_on(65 * MINUTE_MS)
    runner.send_signal(signal.SIGCONT)
    slot = clocks.hour + HOUR_MS

    def dealt_with() -> bool:
        nonlocal runner
        if runner.poll() is not None:
            # The stacks are read from below while threads run on: Python says that this may crash, which ends it too.
            assert runner.returncode in (1, -signal.SIGSEGV)
            runner = afk.start("--supervisor", "systemd")
        return bool(afk.sql("SELECT 1 FROM slots WHERE due_at = ?", slot))

    eventually(dealt_with, what="the slot that came due meanwhile")
    release.touch()
    eventually(lambda: afk.counts() == {"done": 2}, what="all done")
    assert afk.sql("SELECT due_at, job_key FROM slots") == [(slot, f"tick@{iso(slot)}")]
    assert afk.sql("SELECT key FROM jobs WHERE attempts <> 1 OR rescues <> 0") == []
    stalls = afk.sql("SELECT level, text FROM alerts WHERE key = 'stall'")
    if len(afk.sql("SELECT 1 FROM runners")) == 1:
        assert stalls == [], "it was quicker than its watchdog"
        return
    ((level, text),) = stalls
    assert (level, "was frozen from outside" in text) == ("warn", True), text
    assert [one["clean"] for one in json.loads((afk.home / "starts.json").read_text())["starts"]] == [True, False]
