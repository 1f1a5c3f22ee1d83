"""Who watches the runner itself: its own watchdog, systemd's, whoever listens for pings; and the Mac's idle sleep."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Coroutine
from contextlib import suppress

from runner.config import WatchConfig
from runner.daemon.awake import Awake
from runner.daemon.heart import Heart
from runner.daemon.stance import Stance
from runner.daemon.switch import StopSwitch
from runner.daemon.watchdog import Watchdog
from runner.errors import StoreError
from runner.home import Home
from runner.ping import FAIL, WELL, Pinger
from runner.sdnotify import Notifier
from runner.store import controls
from runner.store.runners import RunState
from runner.store.writer import Writer
from runner.units import Clock
from runner.work.pool import Pool


class Sentries:
    """Fed by the loop alone, and only while the heart gets answers: a side thread would vouch for a dead loop."""

    def __init__(
        self,
        home: Home,
        config: WatchConfig,
        *,
        heart: Heart,
        pool: Pool,
        stance: Stance,
        switch: StopSwitch,
        writer: Writer,
        notifier: Notifier,
        errand: Callable[[Coroutine[object, object, None]], None],
        clock: Clock,
    ) -> None:
        self._heart = heart
        self._pool = pool
        self._stance = stance
        self._switch = switch
        self._writer = writer
        self._errand = errand
        self._clock = clock
        self._notifier = notifier
        self._awake = Awake(config.stay_awake)
        self._pinger = (
            Pinger(config.ping_url, every_s=config.ping_every_ms / 1000, told=self._told, heard=self._heard)
            if config.ping_url is not None
            else None
        )
        self._watchdog = Watchdog(home.logs, stall_s=config.stall_ms / 1000)

    def begin(self) -> None:
        """The start is over."""
        self._watchdog.arm()
        self._notifier.ready()

    def look(self) -> None:
        """The loop turned; called with every tick."""
        self._notifier.status(self._words())
        self._awake.look(working=bool(self._pool.running))
        gets_on = self._heart.gets_on
        if gets_on or self._watchdog.thawed:  # at once then: a beat first, and the stall would look like a fresh one
            self._watchdog.arm()
        if gets_on:
            self._notifier.alive()
            if self._pinger is not None:
                self._pinger.look()

    def ending(self) -> None:
        """The end has begun."""
        self._notifier.stopping()

    async def close(self) -> None:
        """Watch no more."""
        self._watchdog.close()
        await self._awake.close()
        if self._pinger is not None:
            await self._pinger.close()

    def _words(self) -> str:
        state, reason = self._stance.state, self._stance.reason
        return f"{state} ({reason})" if reason and state is not RunState.RUNNING else str(state)

    def _told(self) -> tuple[str, str]:
        return (WELL if self._switch.fault is None else FAIL), self._words()

    def _heard(self, fault: str | None) -> None:
        async def note() -> None:
            with suppress(StoreError):
                await self._writer.write(note_ping)

        def note_ping(db: sqlite3.Connection) -> None:
            controls.note_ping(db, fault=fault, now=self._clock.now())

        self._errand(note())
