"""The runner's writes: one thread, one connection, and what has queued up commits together.

The event loop never waits for a disk or a lock. While one commit syncs, more work queues up and shares the next one.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from runner.errors import StoreBusy
from runner.store.db import Database

T = TypeVar("T")
Act = Callable[[sqlite3.Connection], T]
"""What a transaction does. It may run twice (a neighbour in the same commit failed), so it changes nothing but rows."""

MOST_IN_ONE = 64
"""Acts in one commit: at 70 us each, a transaction stays far under the 20 ms a visitor may have to wait."""


@dataclass(slots=True)
class _Request:
    act: Callable[[sqlite3.Connection], Any]
    future: asyncio.Future[Any]
    outside: bool = False
    """Not a transaction, but must not run beside one."""
    given: Any = None
    error: BaseException | None = None


class Writer:
    """Hands transactions to the thread that makes them durable."""

    def __init__(self, database: Database) -> None:
        """Start the thread. The database is its alone from now on."""
        self._database = database
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    async def write(self, act: Act[T]) -> T:
        """Run `act` in a transaction; returns once it is durable.

        Raises what `act` raised or StoreError; then nothing of it was recorded. A caller that is cancelled does not
        take its transaction along.
        """
        return await self.submit(act)

    def submit(self, act: Act[T]) -> asyncio.Future[T]:
        """The same, handed over before this returns; a cancelled future is a caller that left."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put(_Request(act, future))
        return future

    async def checkpoint(self, *, truncate: bool) -> None:
        """Move the log into the file between two transactions."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._queue.put(_Request(lambda _: self._database.checkpoint(truncate=truncate), future, outside=True))
        await future

    async def close(self) -> None:
        """Finish what was asked, then end the thread and close the database."""
        self._queue.put(None)
        await self._loop.run_in_executor(None, self._thread.join)
        self._database.close()

    def _run(self) -> None:
        while (request := self._queue.get()) is not None:
            batch = [request]
            ending = False
            while len(batch) < MOST_IN_ONE and not self._queue.empty():
                more = self._queue.get()
                if more is None:
                    ending = True
                    break
                batch.append(more)
            self._commit(batch)
            self._loop.call_soon_threadsafe(_answer, batch)
            if ending:
                return

    def _commit(self, batch: list[_Request]) -> None:
        together = [request for request in batch if not request.outside]
        alone = [request for request in batch if request.outside]
        if len(together) < 2 or not self._together(together):
            alone = together + alone
        for request in alone:
            try:
                if request.outside:
                    request.given = request.act(self._database.connection)
                    continue
                with self._database.write() as db:
                    request.given = request.act(db)
            except Exception as error:  # the caller's own, or the store's: handed to whoever asked
                request.error = error

    def _together(self, batch: list[_Request]) -> bool:
        try:
            with self._database.write() as db:
                for request in batch:
                    request.given = request.act(db)
        except StoreBusy as error:  # each of them alone would wait as long again
            for request in batch:
                request.error = error
        except Exception:  # one of them failed: each goes alone, so that only its own caller hears of it
            return False
        return True


def _answer(batch: list[_Request]) -> None:
    for request in batch:
        if request.future.done():
            continue
        if request.error is not None:
            request.future.set_exception(request.error)
            request.future.exception()  # a caller that left is not a fault worth a warning
        else:
            request.future.set_result(request.given)
