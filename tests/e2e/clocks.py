"""Clocks of a real runner that a test moves by hand: see `clocked.py`, which the runner is started by."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from runner.units import HOUR_MS, MINUTE_MS
from tests.e2e.world import World


class Clocks:
    """What the runners of a world take for the time, from now on."""

    def __init__(self, afk: World) -> None:
        """Ten minutes past the next full hour: no slot comes due while nobody looks."""
        afk.runs = [sys.executable, str(Path(__file__).with_name("clocked.py"))]
        self._file = afk.home.parent / "clocks.json"
        now_ms = time.time_ns() // 1_000_000
        self.hour = now_ms // HOUR_MS * HOUR_MS + HOUR_MS
        self._wall = self.hour + 10 * MINUTE_MS - now_ms
        self._monotonic = self._slept = 0
        self._tell()

    @property
    def now(self) -> int:
        """What the runners take for it."""
        return time.time_ns() // 1_000_000 + self._wall

    def sleep(self, ms: int) -> None:
        self._wall += ms
        self._slept += ms
        self._tell()

    def go_on(self, ms: int) -> None:
        self._wall += ms
        self._monotonic += ms
        self._tell()

    def set(self, ms: int) -> None:
        self._wall += ms
        self._tell()

    def _tell(self) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps([self._wall / 1000, self._monotonic / 1000, self._slept / 1000]))
        new.replace(self._file)
