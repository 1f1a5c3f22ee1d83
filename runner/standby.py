"""Waiting for the home: a second runner stands by, visible, until the first has ended."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from runner.errors import StoreError
from runner.home import Home
from runner.lock import HomeLock
from runner.sdnotify import Notifier
from runner.store import runners
from runner.store.db import Database
from runner.store.runners import Runner
from runner.units import Clock

LOOK_S = 1.0


async def stand_by(
    home: Home, lock: HomeLock, me: Runner, *, notifier: Notifier, clock: Clock, say: Callable[[str], None]
) -> bool:
    """True once the lock is ours, False when a signal came first. `me` is announced as standing by meanwhile."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    text = f"another runner (pid {lock.holder()}) holds {home.root}; standing by for it to end"
    say(text)
    notifier.ready()  # it is where it should be: whoever started it need not wait, nor start it again
    notifier.status(text)
    board = _Board(home)
    board.write(partial(runners.announce, runner=me))
    while not (took := lock.take()) and not asked.is_set():
        notifier.alive()
        board.write(lambda db: runners.beat(db, me.id, now=clock.now()))
        with suppress(TimeoutError):
            await asyncio.wait_for(asked.wait(), LOOK_S)
    board.write(lambda db: runners.leave(db, me.id, ended="took over" if took else "signal", now=clock.now()))
    board.close()
    return took


class _Board:
    """The database, as far as it can be had: who stands by needs none."""

    def __init__(self, home: Home) -> None:
        self._database: Database | None = None
        with suppress(StoreError):
            self._database = Database.open(home.db)

    def write(self, act: Callable[[sqlite3.Connection], None]) -> None:
        if self._database is not None:
            with suppress(StoreError), self._database.write() as db:
                act(db)

    def close(self) -> None:
        if self._database is not None:
            self._database.close()
