"""Waiting for the home: a second runner stands by, visible, until the first has ended."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress

from runner.errors import StoreError
from runner.lock import HomeLock
from runner.store import runners
from runner.store.db import Database
from runner.store.runners import Runner
from runner.units import Clock

LOOK_S = 1.0


async def stand_by(database: Database, lock: HomeLock, me: Runner, *, clock: Clock, say: Callable[[str], None]) -> bool:
    """True once the lock is ours, False when a signal came first. `me` is announced as standing by meanwhile."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    say(f"another runner (pid {lock.holder()}) holds {database.path.parent}; standing by for it to end")
    with suppress(StoreError), database.write() as db:
        runners.announce(db, me)
    while not (took := lock.take()) and not asked.is_set():
        with suppress(StoreError), database.write() as db:
            runners.beat(db, me.id, now=clock.now())
        with suppress(TimeoutError):
            await asyncio.wait_for(asked.wait(), LOOK_S)
    with suppress(StoreError), database.write() as db:
        runners.leave(db, me.id, ended="took over" if took else "signal", now=clock.now())
    return took
