"""The tick: a thread that looks at the home four times a second and tells the screen only what it has not drawn yet.

One thread for the whole life: a worker started for each look cost a still console 1 % of a CPU, this half of it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from console.feed import Feed
from console.messages import Looked
from console.seen import Ask, Seen
from runner.units import SECOND_MS, Clock

TICK_S = 0.25
DRAWN_MS = SECOND_MS
"""Even without news the ages on the screen move."""


class Watch:
    """Looks at one home for one screen."""

    def __init__(self, feed: Feed, clock: Clock, tell: Callable[[Looked], object], *, ask: Ask) -> None:
        """`ask`: what to look at first."""
        self._feed = feed
        self._clock = clock
        self._tell = tell
        self._ask = ask
        self._wanted = 0
        self.slow = False
        """Nobody looks: the terminal's window is not in front."""
        self._wake = threading.Event()
        self._ended = False
        self._told: Seen | None = None
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._ended = True
        self._wake.set()

    def look(self, ask: Ask) -> int:
        """Look at this from now on, and now. The number comes back in the `Looked` that was begun after the call."""
        self._ask = ask
        self._wanted += 1
        self._wake.set()
        return self._wanted

    def _run(self) -> None:
        served = 0
        while not self._ended:
            self._wake.clear()
            wanted = self._wanted
            seen = self._feed.read(self._ask, now=self._clock.now())
            if wanted != served or self._is_news(seen):
                self._told, served = seen, wanted
                try:
                    self._tell(Looked(seen, wanted))
                except RuntimeError:
                    return  # the screen is gone
            self._wake.wait(2 * TICK_S if self.slow else TICK_S)

    def _is_news(self, seen: Seen) -> bool:
        told = self._told
        return (
            told is None
            or bool(seen.log.events)
            or seen.log.fresh
            or seen.page is not told.page
            or (seen.trouble, seen.stop_file, seen.ask) != (told.trouble, told.stop_file, told.ask)
            or abs(seen.at - told.at) >= DRAWN_MS
        )
