"""Dealing with slots as they come due: the timer calls, the database settles, and what could not be is tried again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from runner import schedule
from runner.config import TaskConfig
from runner.errors import StoreError
from runner.store import events
from runner.store.writer import Writer
from runner.units import Clock

DEAL_AGAIN_S = 1.0
"""Until a schedule that could not be dealt with is tried again."""


class Dealer:
    """Every schedule of a running home."""

    def __init__(
        self,
        tasks: Mapping[str, TaskConfig],
        *,
        writer: Writer,
        max_attempts: int,
        added: Callable[[], None],
        clock: Clock,
    ) -> None:
        """`max_attempts`: of a job whose task names no number. `added` is called when a slot became a job."""
        self._tasks = tasks
        self._writer = writer
        self._max_attempts = max_attempts
        self._added = added
        self._clock = clock
        self._timer = schedule.Timer(tasks, self._deal)
        self._owed: dict[str, float] = {}
        """Schedules whose slots could not be written, or wait for a job, and when to try again (monotonic)."""
        self._waiting: dict[str, int] = {}
        self._faults: dict[str, str] = {}
        """What was told of schedules that cannot be dealt with for a fault of ours."""
        self._tries: set[asyncio.Task[int]] = set()

    def start(self) -> None:
        """Listen to the timer from now on."""
        self._timer.start()

    def stop(self) -> None:
        """Fire no more."""
        self._timer.stop()
        self._owed.clear()

    async def wake(self) -> None:
        """The wall clock jumped or the machine slept: the timer ran on another clock."""
        self._timer.wake()
        await self.deal_all()

    async def deal_all(self) -> int:
        """Settle what every schedule owes; how many jobs were added."""
        return sum([await self._deal(name) for name, task in self._tasks.items() if task.schedule is not None])

    async def check(self) -> int:
        """Deal with what the timer let pass, and tell of schedules whose slots are not dealt with all the same.

        Gives how many jobs were added.
        """
        added = 0
        with suppress(StoreError):
            if await self._writer.write(lambda db: schedule.overdue(db, now=self._clock.now())):
                added = await self.deal_all()
                await self._writer.write(lambda db: schedule.tell_overdue(db, now=self._clock.now()))
        return added

    def look(self) -> None:
        """Try again what is due for it; called with every tick."""
        now = time.monotonic()
        for name in [name for name, again_at in self._owed.items() if again_at <= now]:
            del self._owed[name]
            task = asyncio.ensure_future(self._deal(name))
            self._tries.add(task)
            task.add_done_callback(self._tries.discard)

    @property
    def owes(self) -> bool:
        """Whether some schedule waits for another try, or has it now."""
        return bool(self._owed or self._tries)

    @property
    def waiting(self) -> int:
        """Slots that wait for an earlier one's job, by the last look."""
        return sum(self._waiting.values())

    async def take_turns(self) -> int:
        """Deal once more with the schedules whose slots wait; how many jobs were added."""
        return sum([await self._deal(name) for name in [*self._waiting]])

    async def _deal(self, name: str) -> int:
        """How many jobs were added. A fault of ours in one schedule keeps no other from its slots."""
        try:
            dealt = await self._writer.write(
                lambda db: schedule.deal(
                    db,
                    self._tasks[name],
                    tasks=self._tasks,
                    max_attempts=self._max_attempts,
                    now=self._clock.now(),
                )
            )
        except StoreError:  # the timer fires once for a slot: without another try it would wait for the next one
            self._owed[name] = time.monotonic() + DEAL_AGAIN_S
            return 0
        except Exception as error:
            self._waiting.pop(name, None)
            await self._tell_fault(name, error)
            return 0
        self._faults.pop(name, None)
        self._waiting.pop(name, None)
        if dealt.waiting:  # nobody calls when the job that holds them ends
            self._owed[name] = time.monotonic() + DEAL_AGAIN_S
            self._waiting[name] = dealt.waiting
        if dealt.added:
            self._added()
        return dealt.added

    async def _tell_fault(self, name: str, error: Exception) -> None:
        """Once, however often it is tried again; the alert of a slot that stays overdue comes from `check`."""
        text = f"schedule {name} cannot be dealt with for a fault of the runner: {error!r}"[:500]
        if self._faults.get(name) == text:
            return
        with suppress(StoreError):
            await self._writer.write(
                lambda db: events.record(
                    db, now=self._clock.now(), level=events.ERROR, event="schedule.fault", text=text, task=name
                )
            )
            self._faults[name] = text
