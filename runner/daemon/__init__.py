"""The runner process. It runs no payload and imports none.

Its parts are opened and closed in `parts`, turned by `loop`, and kept alive for others to see by `heart`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from runner.check import HELD, ONCE
from runner.config import Config, TaskConfig
from runner.daemon import reach
from runner.daemon.loop import Loop
from runner.daemon.parts import Parts
from runner.daemon.signals import Signals
from runner.errors import Exit, StoreError
from runner.home import Home
from runner.sdnotify import Notifier
from runner.store.db import Database
from runner.store.runners import Runner
from runner.units import Clock
from runner.work.outcome import Cut


class Daemon:
    """One runner process, from its lock to its last word."""

    def __init__(
        self,
        home: Home,
        config: Config,
        tasks: Mapping[str, TaskConfig],
        database: Database,
        *,
        me: Runner,
        once: bool,
        supervised: bool,
        notifier: Notifier,
        say: Callable[[str], None],
        clock: Clock,
    ) -> None:
        """For the holder of the home's lock alone. `say`: a remark for whoever started us."""
        self._once = once
        self._supervised = supervised
        self._signals = Signals(again=self._cut)
        self._loop: Loop | None = None
        self._parts = Parts(
            home,
            config,
            tasks,
            database,
            me=me,
            notifier=notifier,
            ending=self._signals.asked,
            how=self._how,
            say=say,
            clock=clock,
        )

    async def run(self) -> int:
        """The whole life; the exit code."""
        self._signals.listen()
        try:
            await self._parts.open()
            if self._supervised:
                reach.begin(self._parts)
            self._loop = Loop(self._parts, self._signals, once=self._once)
            await self._loop.run()
        finally:
            await self._parts.close()
        if self._once and self._parts.switch.fault is not None:
            raise StoreError(f"nothing more could be done: {self._parts.switch.fault}")
        return Exit.OK if self._supervised or self._signals.count < 2 else 130

    def _cut(self) -> None:
        if hasattr(self._parts, "pool"):
            self._parts.pool.cut_all(Cut.SHUTDOWN, at_once=True)

    def _how(self) -> str:
        if self._signals.count:
            return "signal"
        if self._loop is not None and self._loop.held_back:
            return HELD
        return ONCE if self._once else "fault"
