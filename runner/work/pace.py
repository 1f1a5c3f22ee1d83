"""The pace of short work: what waits a moment so that others share its commit. Long work neither waits nor is waited
for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from runner.work.attempt import Live

DRY_S = 0.002
"""After a claim that left nothing due behind, the next one waits so long. Jobs that come one by one at full speed are
then claimed together, and a finish finds its next one waiting: a commit less a job. A job on its own waits for nothing.
"""
BRISK_S = 0.003
"""An attempt that takes no longer is short: it costs less than writing its end down."""
TOGETHER_S = 0.001
"""How long the outcome of one waits for those of others: a commit that carries two costs little more than one of one.
"""


class Pace:
    """How long the attempts of each task took last, and when a claim last left nothing due behind."""

    def __init__(self) -> None:
        self._time = asyncio.get_running_loop().time
        self._took_s: dict[str, float] = {}
        self._dry_until = 0.0

    def dried(self) -> None:
        """A claim left nothing due behind."""
        self._dry_until = self._time() + DRY_S

    @property
    def claim_at(self) -> float | None:
        """When to claim, by the loop's clock; None: now."""
        return self._dry_until if self._time() < self._dry_until else None

    def began(self, live: Live) -> None:
        """Its worker has the order."""
        live.began_at = self._time()

    def ended(self, live: Live, others: Iterable[Live | None], *, commit_s: float) -> float:
        """It is over; seconds its outcome may wait for those of the others that run. 0: none is expected soon.

        `commit_s`: what a commit takes; where it takes less than the wait, nothing waits.
        """
        now = self._time()
        took_s = self._took_s[live.task.name] = now - live.began_at
        if took_s >= BRISK_S or commit_s < TOGETHER_S:
            return 0.0
        return TOGETHER_S if any(other is not None and self._is_brisk(other, now) for other in others) else 0.0

    def _is_brisk(self, live: Live, now: float) -> bool:
        return now - live.began_at < BRISK_S and self._took_s.get(live.task.name, BRISK_S) < BRISK_S
