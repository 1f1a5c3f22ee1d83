"""A runner that must not work: parked before anything is loaded, yet alive, visible, and telling whoever listens.

Under a supervisor that starts again whatever ends, a refusal that ends is a restart for ever; so is a crash loop.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from runner import telling
from runner.clocks import seconds_asleep
from runner.config import Config
from runner.errors import StoreError
from runner.heartbeat import HeartbeatFile, last_beat
from runner.home import Home
from runner.notify.deliverer import Deliverer
from runner.ping import FAIL, Pinger
from runner.redact import Redactor
from runner.sdnotify import Notifier
from runner.store import controls, events, runners
from runner.store.db import Database
from runner.store.runners import Runner, RunState
from runner.store.writer import Writer
from runner.units import Clock

LOOK_S = 1.0
WAIT_S = 0.5
"""For a database that somebody else writes, while nothing depends on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why it must not work."""

    word: str
    """`breaker` after too many crashes, `refused` for settings or a database that cannot be used."""
    alert: str
    """Key of the alert it raises."""
    text: str
    """What is wrong and what makes it go on; free of secrets."""
    over: Callable[[], bool]
    """Whether it may try to work; asked every second, in a thread, for it may take long."""


class Parking:
    """One stay."""

    def __init__(
        self,
        home: Home,
        reason: Reason,
        *,
        me: Runner,
        config: Config | None,
        notifier: Notifier,
        say: Callable[[str], None],
        clock: Clock,
    ) -> None:
        """For the holder of the home's lock. `config`: for alerts and pings; None: it cannot be read."""
        self._home = home
        self._reason = reason
        self._me = replace(me, state=RunState.PARKED, reason=reason.word, note=reason.text)
        self._config = config
        self._notifier = notifier
        self._say = say
        self._clock = clock
        self._writer: Writer | None = None
        self._deliverer: Deliverer | None = None
        self._entered = False
        self._before = last_beat(home.heartbeat)
        """What the last runner said; ours takes its place."""

    async def stay(self) -> bool:
        """True once the reason is gone, False when a signal came first."""
        asked = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, asked.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: None)
        self._say(f"parked ({self._reason.word}): {self._reason.text}")
        self._notifier.ready()
        self._notifier.status(f"parked ({self._reason.word}): {self._reason.text}")
        heart = HeartbeatFile(self._home.heartbeat)
        pinger = self._pinger()
        over = False
        listening: asyncio.Future[bool] = asyncio.ensure_future(asked.wait())
        asking: asyncio.Future[bool] | None = None
        try:
            while not asked.is_set() and not over:
                heart.beat(fault=self._reason.text, asleep_s=seconds_asleep())
                self._notifier.alive()
                await self._beat()
                if self._deliverer is not None:
                    self._deliverer.look()
                if pinger is not None:
                    pinger.look()
                await asyncio.wait([listening], timeout=LOOK_S)
                asking = asking or _answer_of(self._reason.over)
                await asyncio.wait([listening, asking], timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
                if asking.done():
                    over, asking = asking.result(), None
        finally:
            listening.cancel()
            if pinger is not None:
                await pinger.close()
            await self._leave(over=over)
            heart.beat(fault=None)
            heart.close()
        return over and not asked.is_set()

    def _pinger(self) -> Pinger | None:
        if self._config is None or self._config.watch.ping_url is None:
            return None
        return Pinger(
            self._config.watch.ping_url,
            every_s=self._config.watch.ping_every_ms / 1000,
            told=lambda: (FAIL, f"parked ({self._reason.word})"),
            heard=lambda _: None,
        )

    async def _beat(self) -> None:
        """Say it in the database as well, if there is one that can be written."""
        with suppress(StoreError):
            if self._writer is None:
                self._writer = Writer(Database.open(self._home.db, wait_s=WAIT_S))
            if not self._entered:
                await self._writer.write(self._enter)
                self._entered = True
                if self._config is not None:
                    self._deliverer = Deliverer(
                        self._config.alert_urls,
                        writer=self._writer,
                        guard=lambda _: None,  # there is no guard yet; a child ends by itself within its time
                        redactor=Redactor(self._config.secrets),
                        home=self._home.root,
                        host=self._me.host,
                        clock=self._clock,
                    )
            await self._writer.write(self._beat_in)

    def _beat_in(self, db: sqlite3.Connection) -> None:
        """That we live, and that a stop which was set has come to somebody who starts nothing."""
        state, reason, note = self._me.state, self._me.reason, self._me.note
        seq = controls.stop_row(db).seq
        runners.move(db, self._me.id, state=state, reason=reason, note=note, stop_seq=seq, now=self._clock.now())

    def _enter(self, db: sqlite3.Connection) -> None:
        now, reason = self._clock.now(), self._reason
        telling.vanished(db, me=self._me, beat=self._before, now=now)  # whoever is buried is not told of again
        runners.bury(db, but=self._me.id)
        runners.announce(db, self._me)
        text = f"parked ({reason.word}): {reason.text}"
        events.record(db, now=now, level=events.ERROR, event="runner.parked", text=text)
        telling.tell(db, key=reason.alert, level=events.ERROR, text=text, now=now)

    async def _leave(self, *, over: bool) -> None:
        if self._deliverer is not None:
            await self._deliverer.close()
        if self._writer is None:
            return
        with suppress(StoreError):
            if self._entered:
                await self._writer.write(lambda db: self._go(db, over=over))
        await self._writer.close()

    def _go(self, db: sqlite3.Connection, *, over: bool) -> None:
        now = self._clock.now()
        runners.leave(db, self._me.id, ended="went on" if over else "signal", now=now)
        if over:
            telling.settled(db, key=self._reason.alert, text="the reason is gone, the runner goes on", now=now)


def _answer_of(ask: Callable[[], bool]) -> asyncio.Future[bool]:
    """Asked in a thread of its own, whose end nobody waits for: who is asked to end must be able to leave."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[bool] = loop.create_future()

    def tell(given: bool | None, error: Exception | None) -> None:
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(bool(given))

    def run() -> None:
        given, error = None, None
        try:
            given = ask()
        except Exception as raised:  # it is raised where the answer is awaited
            error = raised
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(tell, given, error)

    threading.Thread(target=run, name="look", daemon=True).start()
    return future


def changes(home: Home) -> Callable[[], bool]:
    """Whether what a person declared has changed since now."""

    def look() -> list[tuple[str, int]]:
        found = []
        for path in (home.config, home.env, *sorted(home.tasks.glob("*.py"))):
            with suppress(OSError):
                found.append((str(path), os.stat(path).st_mtime_ns))
        return found

    before = look()
    return lambda: look() != before
