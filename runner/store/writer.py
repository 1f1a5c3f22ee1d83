"""The runner's writes: one connection, and what is asked for in one turn of the event loop commits together.

A commit on a quick disk takes a third of a millisecond, and handing it to a thread and back as long again, so it is
made where it was asked for. The event loop waits for a lock no longer than a moment, and for no slow disk: while
another process writes, and while commits typically take long, a thread commits; what is asked for meanwhile shares the
next one.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from runner.alarm import Alarm
from runner.errors import StoreBusy
from runner.store.db import Database

T = TypeVar("T")
Act = Callable[[sqlite3.Connection], T]
"""What a transaction does. It may run twice (a neighbour in the same commit failed), so it changes nothing but rows."""
Done = Callable[[T | None, BaseException | None], None]
"""Told once it is durable what the act gave, or why nothing of it was recorded."""

SLOW_S = 0.008
"""While commits typically take longer they are the thread's, or the event loop would stand still too much."""
TYPICAL_OF = 4
"""Commits, about, that say what one typically takes. One alone may have held a checkpoint."""
MOST_S = 4 * SLOW_S
"""What one counts for at most: one that waited for seconds says no more of the next than that."""
MOST_IN_ONE = 64
"""Acts in one commit: at 70 us each, a transaction stays far under the 20 ms a visitor may have to wait."""


@dataclass(slots=True)
class _Request:
    act: Callable[[sqlite3.Connection], Any]
    done: Done[Any]
    outside: bool = False
    """Not a transaction, but must not run beside one: alone in what is handed over."""
    given: Any = None
    error: BaseException | None = None


class Writer:
    """Hands transactions to the thread that makes them durable."""

    def __init__(self, database: Database) -> None:
        """Start the thread. The database is the writer's alone from now on."""
        self._database = database
        self._loop = asyncio.get_running_loop()
        self._asked: list[_Request] = []
        """Not begun: in this turn of the loop, behind what the thread commits, or waiting for others to share."""
        self._soon = False
        """The next turn of the loop commits them."""
        self._due = Alarm(self._turn)
        """When they are committed though nobody else asked."""
        self._handed = 0
        """Requests the thread has not answered; while there are any, the connection is the thread's."""
        self.took_s = 0.0
        """What a commit takes, of late, the wait for the turn included."""
        self._queue: queue.SimpleQueue[list[_Request] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    async def write(self, act: Act[T]) -> T:
        """Run `act` in a transaction; returns once it is durable.

        Raises what `act` raised or StoreError; then nothing of it was recorded. A caller that is cancelled does not
        take its transaction along.
        """
        return await self.submit(act)

    def submit(self, act: Act[T]) -> asyncio.Future[T]:
        """The same for callers that await later; a cancelled future is a caller that left."""
        future: asyncio.Future[T] = self._loop.create_future()
        self.then(act, partial(_resolve, future))
        return future

    def then(self, act: Act[T], done: Done[T], *, within_s: float = 0.0) -> None:
        """The same for what must go on at once: `done` is called in the turn of the loop that made it durable.

        `within_s`: how long it may wait for others to share its commit; the first that cannot wait takes it along.
        """
        self._asked.append(_Request(act, done))
        if within_s > 0:
            self._due.at(self._loop.time() + within_s)
        else:
            self._take_turn()

    def _take_turn(self) -> None:
        if not self._soon:
            self._soon = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._soon = False
        self._due.stop()
        if self._handed or not self._asked:
            return  # the connection is the thread's: what is asked for meanwhile shares the next commit
        batch = self._next()
        if self._asked:
            self._take_turn()
        if self.took_s <= SLOW_S and self._at_once(batch):
            self._answer(batch)
        else:
            self._hand_over(batch)

    def _next(self) -> list[_Request]:
        """What is committed next, of all that was asked for."""
        batch, self._asked = self._asked[:MOST_IN_ONE], self._asked[MOST_IN_ONE:]
        return batch

    def _at_once(self, batch: list[_Request]) -> bool:
        """Commit here and now. False: it could not be had, or one of them failed; nothing was recorded."""
        start = time.monotonic()
        try:
            self._transact(batch, at_once=True)
        except Exception:  # the thread waits for the turn, and finds out whose failure it is
            return False
        finally:
            self._took(start)
        return True

    def _transact(self, batch: list[_Request], *, at_once: bool = False) -> None:
        with self._database.write(at_once=at_once) as db:
            for request in batch:
                request.given = request.act(db)

    def _took(self, start: float) -> None:
        self.took_s += (min(time.monotonic() - start, MOST_S) - self.took_s) / TYPICAL_OF

    def _hand_over(self, batch: list[_Request]) -> None:
        self._handed += len(batch)
        self._queue.put(batch)

    async def checkpoint(self, *, truncate: bool) -> None:
        """Move the log into the file between two transactions."""
        future: asyncio.Future[None] = self._loop.create_future()
        act = lambda _: self._database.checkpoint(truncate=truncate)  # noqa: E731
        self._hand_over([_Request(act, partial(_resolve, future), outside=True)])
        await future

    async def close(self) -> None:
        """Finish what was asked, then end the thread and close the database."""
        while self._asked:
            self._hand_over(self._next())
        self._handed += 1  # to the end of the thread: what is asked for from now on is answered after it
        self._queue.put(None)
        while self._thread.is_alive():  # noqa: ASYNC110 - no executor: whoever gives up on this must be able to leave
            await asyncio.sleep(0.005)
        while self._asked:
            batch = self._next()
            self._commit(batch)
            self._answer(batch)
        self._database.close()

    def _run(self) -> None:
        while (batch := self._queue.get()) is not None:
            start = time.monotonic()
            self._commit(batch)
            if not batch[0].outside:
                self._took(start)
            self._loop.call_soon_threadsafe(self._answered, batch)

    def _commit(self, batch: list[_Request]) -> None:
        if len(batch) > 1 and self._together(batch):
            return
        for request in batch:
            try:
                if request.outside:
                    request.given = request.act(self._database.connection)
                else:
                    self._transact([request])
            except Exception as error:  # the caller's own, or the store's: handed to whoever asked
                request.error = error

    def _together(self, batch: list[_Request]) -> bool:
        try:
            self._transact(batch)
        except StoreBusy as error:  # each of them alone would wait as long again
            for request in batch:
                request.error = error
        except Exception:  # one of them failed: each goes alone, so that only its own caller hears of it
            return False
        return True

    def _answered(self, batch: list[_Request]) -> None:
        self._handed -= len(batch)
        self._answer(batch)
        self._turn()

    def _answer(self, batch: list[_Request]) -> None:
        for request in batch:
            try:
                request.done(request.given, request.error)
            except Exception as error:  # its own fault, and no reason to leave the others without an answer
                self._loop.call_exception_handler({"message": "after a commit", "exception": error})


def _resolve(future: asyncio.Future[Any], given: object, error: BaseException | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
        future.exception()  # a caller that left is not a fault worth a warning
    else:
        future.set_result(given)
