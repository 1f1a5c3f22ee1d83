"""The loop: what must be noticed soon, what is done every few seconds, and how it ends."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Coroutine
from contextlib import suppress

from runner.clocks import ClockWatch, Jump
from runner.daemon import records
from runner.daemon.heart import BEAT_S
from runner.daemon.parts import CLOSE_S, Parts
from runner.daemon.signals import Signals
from runner.errors import RunnerError, StoreError
from runner.store import events, leases
from runner.store.runners import RunState
from runner.work.outcome import Cut

TICK_S = 0.25
POKES_S = 0.02
"""Between two ticks that somebody's commits ask for: a burst of them costs one tick."""
UPKEEP_S = 60.0
TIDYING_S = 10.0
"""How long a run that ends by itself stays for the upkeep of its home; what is left waits for the next one."""
PARTING_WORDS_S = 10.0
"""How long a run that ends by itself tells what there is to tell; what is left waits for the next one."""


class Loop:
    """Turns until a signal asks it to end, or with `once` until nothing is due."""

    def __init__(self, parts: Parts, signals: Signals, *, once: bool) -> None:
        self._parts = parts
        self._signals = signals
        self._once = once
        self.held_back = False
        """A run with `once` ended because somebody stopped the home."""
        self._ticked_at = 0.0
        self._later_tick: asyncio.TimerHandle | None = None
        """The tick that pokes asked for."""
        self._guard_again_at = 0.0
        self._beat_at = 0.0
        self._tidying: asyncio.Task[None] | None = None
        """The upkeep at the end of a run with `once`, which may be over before the first minute is."""
        self._tidy_until = 0.0

    async def run(self) -> None:
        """Work, and then end what works."""
        parts = self._parts
        parts.pokes.listen(self._poked)
        await parts.dealer.deal_all()
        await parts.room.look()
        parts.stance.move(RunState.RUNNING, None)
        parts.stance.obey(ending=False)
        parts.pool.start()
        parts.sentries.begin()
        if not self._once:
            parts.dealer.start()
        await self._turn()
        if self._once and parts.switch.is_set and not self._signals.asked.is_set():
            self.held_back = parts.switch.causes[0]
            parts.remark(f"nothing more is started: this home is stopped by {parts.stopped_by()}")
        await self._drain()
        if self._once:
            await self._stay_alive_over(parts.deliverer.finish(PARTING_WORDS_S))

    async def _turn(self) -> None:
        parts = self._parts
        self._beat_at = last_upkeep = time.monotonic()
        clocks = ClockWatch(parts.clock)
        turns = parts.dealer.waiting  # no more than that, or a slot of every second would keep `--once` from ending
        asked = asyncio.ensure_future(self._signals.asked.wait())
        while not self._signals.asked.is_set():
            await asyncio.wait([asked], timeout=TICK_S)
            self._tick()
            now = time.monotonic()
            jump = clocks.look()
            if jump is not None:
                parts.errand(self._jumped(jump))
            if self._beat():
                parts.errand(self._look_around())
            if now - last_upkeep >= UPKEEP_S:
                last_upkeep = now
                parts.errand(self._upkeep_round())
            if self._once and (parts.pool.idle.is_set() or parts.switch.is_set) and not parts.pool.running:
                if turns > 0 and not parts.switch.is_set and await parts.dealer.take_turns():
                    parts.pool.idle.clear()
                    turns -= 1
                elif self._is_tidy():
                    break
        asked.cancel()
        if self._tidying is not None:
            self._tidying.cancel()

    def _is_tidy(self) -> bool:
        """Whether the upkeep of a run that ends is over, or its time; it begins when first asked."""
        now = time.monotonic()
        if self._tidying is None:
            self._tidying, self._tidy_until = asyncio.ensure_future(self._upkeep_round()), now + TIDYING_S
        return self._tidying.done() or now >= self._tidy_until

    async def _drain(self) -> None:
        """Ends: no new work, attempts in progress get the grace, then they are cut and go back unburnt."""
        parts = self._parts
        parts.sentries.ending()
        parts.dealer.stop()
        parts.stance.move(RunState.DRAINING, "asked to end")
        deadline = time.monotonic() + parts.config.runner.stop_grace_ms / 1000
        while parts.pool.running and time.monotonic() < deadline and self._signals.count < 2:
            self._tick()
            self._beat()
            await asyncio.sleep(0.05)
        parts.pool.cut_all(Cut.SHUTDOWN, at_once=self._signals.count >= 2)
        deadline = time.monotonic() + CLOSE_S
        while parts.pool.running and time.monotonic() < deadline:
            self._tick()
            self._beat()
            await asyncio.sleep(0.02)

    def _beat(self) -> bool:
        """Let the heart beat if it is time. To the very end: who watches us ends what says nothing for a minute."""
        now = time.monotonic()
        if now - self._beat_at < BEAT_S:
            return False
        self._beat_at = now
        self._parts.errand(self._parts.heart.beat())
        return True

    async def _stay_alive_over(self, work: Coroutine[object, object, None]) -> None:
        """Wait for it, and go on being seen meanwhile."""
        task = asyncio.ensure_future(work)
        while not task.done():
            self._beat()
            self._parts.sentries.look()
            await asyncio.wait([task], timeout=TICK_S)
        await task

    # --- the tick -------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        """What must be noticed soon, four times a second and soon after a poke: cheap when nothing changed."""
        parts = self._parts
        self._ticked_at = time.monotonic()
        if self._later_tick is not None:
            self._later_tick.cancel()
            self._later_tick = None
        parts.switch.look()
        parts.pool.look()
        self._look_at_guard()
        parts.dealer.look()
        parts.deliverer.look()
        try:
            if parts.watch.changed():
                self._changed()
            parts.watch.looked()
            parts.switch.can_read()
            if parts.switch.trusts:
                parts.standing.trust(now=parts.clock.now())
        except (sqlite3.Error, StoreError) as error:
            if parts.watch.blind(error):
                parts.distrust("read", error)
        parts.stance.obey(ending=self._signals.asked.is_set())
        parts.sentries.look()

    def _look_at_guard(self) -> None:
        parts = self._parts
        now = time.monotonic()
        if now < self._guard_again_at:
            return
        try:
            if parts.guard.look():
                parts.log.say(events.WARN, "guard.restarted", "the guard process had ended; another one was started")
        except (RunnerError, OSError) as error:
            self._guard_again_at = now + 30
            parts.remark(f"the guard process had ended and cannot be started again: {error}")

    def _changed(self) -> None:
        parts = self._parts
        reader = parts.watch.reader
        parts.switch.read(reader)
        parts.watch.copy_events()
        parts.deliverer.stir(reader)
        if parts.pool.running:
            asked = leases.cancel_requests(reader, runner=parts.me.id)
            if asked:
                parts.pool.cut_jobs(asked)
        parts.pool.pump()

    def _poked(self) -> None:
        """Somebody committed: work for an idle worker starts now, and then the rest is looked at, not too often."""
        self._parts.pool.pump()
        if self._later_tick is None:
            wait = max(0.0, self._ticked_at + POKES_S - time.monotonic())
            self._later_tick = asyncio.get_running_loop().call_later(wait, self._tick)

    # --- every few seconds ------------------------------------------------------------------------------------------

    async def _look_around(self) -> None:
        await self._parts.room.look()
        with suppress(StoreError):
            await self._parts.upkeep.shorten()

    async def _upkeep_round(self) -> None:
        # The upkeep last: at the end of a run with `once` it is cut short where there is much to let go of.
        if await self._parts.dealer.check():
            self._parts.pool.idle.clear()  # or a run with `once` would end before it has claimed them
            self._parts.pool.pump()
        with suppress(StoreError):
            await self._parts.morning.look()
        with suppress(StoreError):
            await self._parts.upkeep.round()

    async def _jumped(self, jump: Jump) -> None:
        """The machine slept or its clock was set: timers ran on another clock, and connections may be dead."""
        parts = self._parts
        if jump.slept:
            parts.waking.begin(jump.slept_ms or jump.by_ms)
            parts.errand(parts.upstreams.renew())
        try:
            with suppress(StoreError):
                await parts.writer.write(lambda db: records.jumped(db, jump, now=parts.clock.now()))
            await parts.dealer.wake()
        finally:  # whatever went wrong, nothing starts before the wait that `begin` began is over
            try:
                await parts.waking.network()
            finally:
                parts.pool.pump()
