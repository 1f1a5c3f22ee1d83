"""What the signals a process got ask of it: to end, or to end at once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable


class Signals:
    """The first TERM or INT asks for an orderly end, the second for one without grace."""

    def __init__(self, *, again: Callable[[], None]) -> None:
        """`again`: called with the second signal and every later one."""
        self.asked = asyncio.Event()
        """A signal asked us to end."""
        self.count = 0
        self._again = again

    def listen(self) -> None:
        """From now on signals come here."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        loop.add_signal_handler(signal.SIGHUP, lambda: None)  # a lost terminal is no reason to stop

    def _signalled(self) -> None:
        self.count += 1
        self.asked.set()
        if self.count >= 2:
            self._again()
