"""`afk-runner` on clocks that a test moves: the real program, told another time.

A file beside the home holds three numbers: by how many seconds the wall clock is ahead, by how many the monotonic one,
and how long the machine has slept. A sleep moves the first and the last, SIGSTOP for a while the first two, and setting
the clock the first alone.
"""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any

CLOCKS = Path(os.environ["AFK_HOME"]).parent / "clocks.json"
_monotonic, _time_ns = time.monotonic, time.time_ns


def ahead() -> tuple[float, float, float]:
    """Wall, monotonic, slept."""
    return tuple(json.loads(CLOCKS.read_text()))


def main() -> None:
    """The runner, with every clock it looks at moved."""
    time.monotonic = lambda: _monotonic() + ahead()[1]  # before anybody takes it for a default
    import apscheduler.schedulers.base

    from runner import clocks, launch, units
    from runner.cli import main as runner_main

    class Wall(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return datetime.fromtimestamp(_time_ns() / 1e9 + ahead()[0], tz or UTC)

    def now(_: object) -> units.UnixMs:
        return units.UnixMs(_time_ns() // 1_000_000 + int(ahead()[0] * 1000))

    apscheduler.schedulers.base.datetime = Wall
    clocks.seconds_asleep = lambda: ahead()[2]
    units.SystemClock.now = now  # type: ignore[method-assign, assignment]
    assert launch.SystemClock is units.SystemClock
    sys.argv[0] = "afk-runner"
    runner_main()


if __name__ == "__main__":
    main()
