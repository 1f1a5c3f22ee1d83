"""The worker that delivers: looks when something was told, tries again when an address failed, idle otherwise.

It runs beside the loop of the runner, parked or not, and is waited for by nobody.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path

from runner import telling
from runner.errors import StoreError
from runner.notify import courier, owed
from runner.notify.addresses import named
from runner.notify.messages import Message, compose
from runner.notify.owed import Due, undelivered_key
from runner.redact import Redactor
from runner.store import addresses, alerts, events, tellings
from runner.store.writer import Writer
from runner.units import SECOND_MS, Clock, UnixMs, duration

LOOK_S = 0.5
"""Between two looks into the outbox."""
NO_DATABASE_MS = 15 * SECOND_MS
"""How long a database that cannot be written is left alone."""
AT_ONCE = 2
"""Addresses that are talked to at the same time: each costs a process of 45 MB."""
PARTING_S = 1.0
"""What a message on its way gets to arrive when the runner ends; it is told again otherwise."""


class Deliverer:
    """Tells addresses what they do not know yet."""

    def __init__(
        self,
        urls: Iterable[str],
        *,
        writer: Writer,
        guard: Callable[[str], None],
        redactor: Redactor,
        home: Path,
        host: str,
        clock: Clock,
    ) -> None:
        """`guard` is told the pids of the children, with `+` and `-` before them."""
        self._urls = named(urls)
        self._writer = writer
        self._guard = guard
        self._redact = redactor
        self._home = home
        self._host = host
        self._clock = clock
        self._round: asyncio.Task[None] | None = None
        self._stirred = True
        """There may be something to tell."""
        self._reader: sqlite3.Connection | None = None
        """Set: somebody committed since the outbox was looked at."""
        self._looked_at = 0.0
        self._outbox: tuple[int | None, ...] = ()
        """As of that look."""
        self._again_at: UnixMs | None = None
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._unwritten: list[tuple[str, Message]] = []
        """Taken, while the database could not be written: written down before anything more is told."""
        self._moved_in = False
        self._closed = False

    # --- when -----------------------------------------------------------------------------------------------------

    def stir(self, reader: sqlite3.Connection) -> None:
        """Somebody committed: the outbox is looked at soon, which may be told from there."""
        self._reader = reader

    def look(self) -> None:
        """Start a round if there may be something to do; called with every tick, and returns at once."""
        if self._round is not None or self._closed:
            return
        self._look_into_outbox()
        now = self._clock.now()
        far = self._again_at is not None and self._again_at - now > owed.LOOK_AGAIN_MS  # the clock was set back
        if self._stirred or far or (self._again_at is not None and now >= self._again_at):
            self._stirred, self._again_at = False, None
            self._round = asyncio.ensure_future(self._deliver())
            self._round.add_done_callback(self._rounded)

    def _look_into_outbox(self) -> None:
        # A home at full speed commits a thousand times a second, and what an address missed may be long.
        if self._reader is None or time.monotonic() - self._looked_at < LOOK_S:
            return
        with suppress(sqlite3.Error):
            outbox = alerts.outbox(self._reader)
            self._stirred = self._stirred or (outbox != self._outbox and bool(outbox[0]))
            self._outbox, self._reader = outbox, None
            self._looked_at = time.monotonic()

    def _rounded(self, done: asyncio.Task[None]) -> None:
        self._round = None
        if not done.cancelled() and (error := done.exception()) is not None:
            self._again_at = UnixMs(self._clock.now() + NO_DATABASE_MS)
            if not isinstance(error, StoreError):
                asyncio.get_running_loop().call_exception_handler({"message": "alerts", "exception": error})

    @property
    def busy(self) -> bool:
        """Somebody is being told right now."""
        return self._round is not None

    async def finish(self, within_s: float) -> None:
        """Tell what can be told now, for a runner that ends; what cannot waits for the next one."""
        self._stirred = True
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._stirred:
                    self.look()
                    if self._round is not None:
                        await asyncio.wait([self._round])
                    await asyncio.sleep(0)  # its callback

    async def close(self) -> None:
        """End what is on its way, after a moment. It is told again by the next runner."""
        self._closed = True
        if self._round is not None:
            await asyncio.wait([self._round], timeout=PARTING_S)
        if self._round is not None:
            self._round.cancel()
            await asyncio.wait([self._round])

    # --- one round ------------------------------------------------------------------------------------------------

    async def _deliver(self) -> None:
        if not self._moved_in:
            await self._writer.write(self._move_in)
            self._moved_in = True
        while self._unwritten:
            name, message = self._unwritten[0]
            await self._writer.write(partial(self._taken, name, message))
            self._unwritten.pop(0)
        plan = await self._writer.write(lambda db: owed.plan(db, self._urls, now=self._clock.now()))
        told = await asyncio.gather(*(self._tell(*each) for each in plan.due.items()), return_exceptions=True)
        self._again_at = plan.again_at
        self._stirred = self._stirred or bool(told)  # more may have come, or a failure is to be waited out
        for error in told:
            if error is not None:
                raise error

    def _move_in(self, db: sqlite3.Connection) -> None:
        """Forget addresses that are configured no more."""
        addresses.keep(db, self._urls)
        tellings.keep(db, self._urls)
        for key in alerts.open_keys(db, undelivered_key("")):
            if key.removeprefix(undelivered_key("")) not in self._urls:
                telling.settled(db, key=key, now=self._clock.now(), quiet=True)

    async def _tell(self, name: str, due: list[Due]) -> None:
        """Tell one address. Raises StoreError when its failure could not be written down."""
        messages = compose(due, host=self._host, home=self._home, redact=self._redact)

        async def taken(place: int) -> None:
            self._unwritten.append(entry := (name, messages[place]))
            with suppress(StoreError):
                await self._writer.write(partial(self._taken, *entry))
                self._unwritten.remove(entry)

        async with self._turn:
            words = [message.words() for message in messages]
            fault = await courier.hand(self._urls[name], words, guard=self._guard, taken=taken)
        if fault is not None:
            await self._writer.write(partial(self._refused, name, self._redact(fault), len(due)))

    def _taken(self, name: str, message: Message, db: sqlite3.Connection) -> None:
        now = self._clock.now()
        for alert in message.of:
            over = alert.closed_at is not None
            tellings.note(db, alert.id, name, edge=alert.edge, times=alert.times, over=over, now=now)
        if telling.settled(db, key=undelivered_key(name), now=now, text=f"{name} takes alerts again"):
            events.record(db, now=now, level=events.INFO, event="alert.delivered", text=f"{name} takes alerts again")
        addresses.took(db, name, now=now)
        what = message.of[0].key if len(message.of) == 1 else f"{len(message.of)} alerts"
        events.record(db, now=now, level=events.INFO, event="alert.told", text=f"{what} told to {name}")

    def _refused(self, name: str, fault: str, waiting: int, db: sqlite3.Connection) -> None:
        now = self._clock.now()
        stands = addresses.failed(db, name, error=fault, now=now)
        if stands.failures == 1:
            text = f"{name} did not take an alert: {fault}; it is tried again with growing gaps"
            events.record(db, now=now, level=events.WARN, event="alert.refused", text=text)
        failing_ms = now - (stands.failing_since or now)
        if failing_ms >= addresses.LONG_MS:
            text = (
                f"{name} has taken no alert for {duration(failing_ms)}, {waiting} wait: {fault}; "
                "`afk-runner alerts test` tries it"
            )
            if telling.tell(db, key=undelivered_key(name), level=events.ERROR, text=text, now=now):
                events.record(db, now=now, level=events.ERROR, event="alert.undelivered", text=text)
