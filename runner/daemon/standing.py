"""What the runner is doing, written down for others: at once, or as soon as it can be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace

from runner import telling
from runner.daemon import records
from runner.daemon.switch import StopSwitch
from runner.errors import StoreError
from runner.store.runners import Runner, RunState
from runner.store.writer import Writer
from runner.units import Clock, UnixMs

AGAIN_S = 2.0
"""Between two tries to write it down."""
ROW_S = 2.0
"""A `kill` makes the STOP file first and writes down who and why next: so long that is waited for, before somebody is
told of a STOP file alone. The stop itself waits for nothing."""


class Standing:
    """Keeps our row and the alerts that go with a state in step with the last word of the stance."""

    def __init__(
        self,
        *,
        me: Runner,
        writer: Writer,
        switch: StopSwitch,
        by: Callable[[], str | None],
        errand: Callable[[Coroutine[object, object, None]], None],
        clock: Clock,
    ) -> None:
        """`by`: what somebody stopped us by; None: nobody did."""
        self._me = me
        self._writer = writer
        self._switch = switch
        self._by = by
        self._errand = errand
        self._clock = clock
        self._words = 0
        self._distrusted: records.Distrust | None = None
        """Why the database was no good, until that could be told."""

    def distrust(self, why: str, *, now: UnixMs) -> None:
        """The database is no good, which it can be told only when it is again."""
        told = self._distrusted
        self._distrusted = records.Distrust(now, why) if told is None else replace(told, until=None)

    def trust(self, *, now: UnixMs) -> None:
        """It can be used; a stop that goes on is no fault of it."""
        if self._distrusted is not None and self._distrusted.until is None:
            self._distrusted = replace(self._distrusted, until=now)

    def tell(self, state: RunState, reason: str | None, seq: int) -> None:
        """It took a state. `seq`: the turn of the switch that was acted on."""
        self._words += 1
        self._errand(self._tell(self._words, state, reason, seq))

    async def _tell(self, word: int, state: RunState, reason: str | None, seq: int) -> None:
        waits = reason == telling.STOP  # who leaves has no time to wait
        while word == self._words:  # a later word stands for this one as well
            waits = waits and self._by() is not None and not self._switch.row.is_set
            try:
                await self._writer.write(
                    lambda db: records.moved(
                        db,
                        self._me,
                        state=state,
                        reason=reason,
                        note=self._switch.fault,
                        by=None if waits else self._by(),  # noqa: B023 - as it is then
                        distrust=self._distrusted,
                        seq=seq,
                        now=self._clock.now(),
                    )
                )
            except StoreError:  # what is parked for want of a database cannot say so in it now
                await asyncio.sleep(AGAIN_S)
                continue
            if state is RunState.RUNNING:
                self._distrusted = None
            if not waits:
                return
            waits = False
            await asyncio.sleep(ROW_S)
