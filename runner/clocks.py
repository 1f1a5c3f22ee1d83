"""Noticing that the machine slept or that its clock was set: the wall clock against the one that only goes forward."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from runner.units import Clock, duration

JUMP_MS = 15_000
"""Wall and monotonic clock further apart than a look before by this: the machine slept or the clock was set."""

ONE_MOMENT_S = 0.02
READS = 10
"""A process that was put aside between two clocks reads them again, so often at most."""


@dataclass(frozen=True, slots=True)
class Jump:
    """What happened between two looks."""

    by_ms: int
    """How far the wall clock got ahead of the monotonic one; negative: it was set back."""
    slept_ms: int | None
    """How much of that was sleep; None: this machine cannot tell."""

    @property
    def slept(self) -> bool:
        """Whether connections of before may be dead. What cannot be told apart from a sleep counts as one."""
        return self.slept_ms > JUMP_MS if self.slept_ms is not None else self.by_ms > 0

    @property
    def set_by_ms(self) -> int:
        """How far the clock was set, as far as that can be told."""
        return self.by_ms - self.slept_ms if self.slept_ms is not None else min(self.by_ms, 0)

    def __str__(self) -> str:
        if self.slept_ms is None and self.by_ms > 0:
            return f"the machine slept, or its clock was set forward, by {_about(self.by_ms)}"
        words = [f"the machine slept for {_about(self.slept_ms or 0)}"] if self.slept else []
        if not words or abs(self.set_by_ms) > JUMP_MS:
            way = "back" if self.set_by_ms < 0 else "forward"
            words.append(f"the clock was set {way} by {_about(self.set_by_ms)}")
        return " and ".join(words)


def _about(ms: int) -> str:
    """To the nearest second: clocks are never read at quite the same moment."""
    return duration(round(abs(ms), -3))


class ClockWatch:
    """Compares the clocks as often as it is asked."""

    def __init__(
        self,
        clock: Clock,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        asleep: Callable[[], float | None] | None = None,
    ) -> None:
        """`asleep`: seconds this machine has slept since it was started; None: it cannot tell."""
        self._clock = clock
        self._monotonic = monotonic
        self._asleep = asleep or seconds_asleep
        self._ahead, self._slept = self._read()

    def look(self) -> Jump | None:
        """What happened since the last look; None: nothing worth a word.

        Each look begins anew: two clocks drift apart by seconds a day, and that is no jump however long it goes on.
        """
        ahead_before, before = self._ahead, self._slept
        self._ahead, self._slept = self._read()
        by_ms = self._ahead - ahead_before
        if abs(by_ms) <= JUMP_MS:
            return None
        slept_ms = None if before is None or self._slept is None else int((self._slept - before) * 1000)
        return Jump(by_ms, slept_ms)

    def _read(self) -> tuple[int, float | None]:
        """How far the wall clock is ahead, in ms, and seconds asleep, both of one moment: else a false jump is told."""
        for _ in range(READS):
            began, slept = self._monotonic(), self._asleep()
            now = self._clock.now()
            still_slept, ended = self._asleep(), self._monotonic()
            if ended - began < ONE_MOMENT_S and (still_slept or 0) - (slept or 0) < ONE_MOMENT_S:
                break
        return now - int(ended * 1000), still_slept


def seconds_asleep() -> float | None:
    """How long this machine has slept since it was started: one clock goes on meanwhile and one stands still."""
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
    if sys.platform == "darwin":
        return time.clock_gettime(time.CLOCK_MONOTONIC_RAW) - time.clock_gettime(time.CLOCK_UPTIME_RAW)
    return None
