"""A parked runner: it goes on living, hears whoever tells it something, and forgets nobody."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from runner import parking
from runner.commands import Door, switch
from runner.home import Home
from runner.parking import Parking, Reason
from runner.sdnotify import Notifier
from runner.store import runners
from runner.store.db import Database
from runner.store.runners import Runner, RunState
from runner.units import HOUR_MS, UnixMs
from tests.factories import NOW, ManualClock, a_runner, make_runner

ME = a_runner(id="runner-2", pid=5150, state=RunState.PARKED, started_at=NOW)


class Ticking(ManualClock):
    """A millisecond passes with every look."""

    def now(self) -> UnixMs:
        self.advance(1)
        return super().now()


@pytest.fixture
def db(home: Home) -> Iterator[sqlite3.Connection]:
    database = Database.open(home.db, create=True)
    yield database.connection
    database.close()


@pytest.fixture(autouse=True)
def _eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parking, "LOOK_S", 0.01)
    monkeypatch.setattr(switch, "ROW_WAIT_S", 60.0)  # the runner's own write may be in front of a kill


@asynccontextmanager
async def parked(home: Home, over: Callable[[], bool]) -> AsyncIterator[asyncio.Task[bool]]:
    """A stay, which is over when the block is left."""
    reason = Reason(word="breaker", alert="crashloop", text="too many crashes", over=over)
    stay = Parking(home, reason, me=ME, config=None, notifier=Notifier({}), say=lambda _: None, clock=Ticking()).stay()
    task = asyncio.create_task(stay)
    try:
        yield task
    except BaseException:
        task.cancel()  # what would have ended it does not come any more
        raise
    await task


async def until(look: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not (answer := look()):  # another connection and a thread answer, which know nothing of this loop
        assert time.monotonic() < deadline, f"never came to be; last answer {answer!r}"
        await asyncio.sleep(0.005)


def row(db: sqlite3.Connection) -> Runner | None:
    return next((runner for runner in runners.present(db) if runner.id == ME.id), None)


async def test_a_stop_is_acknowledged_so_that_who_set_it_need_not_end_it_by_force(
    home: Home, db: sqlite3.Connection
) -> None:
    gone = threading.Event()
    door = Door(home, clock=ManualClock(), by="ada@cli")
    async with parked(home, gone.is_set) as stay:
        await until(lambda: row(db))

        killed = door.kill(reason="the bill looks wrong")

        assert killed.seq
        await until(lambda: (now := row(db)) is not None and now.stop_seq == killed.seq)
        known = row(db)
        assert known is not None
        assert (known.state, known.reason, known.note) == (RunState.PARKED, "breaker", "too many crashes")
        gone.set()
        assert await stay
    door.close()


async def test_a_slow_look_holds_up_neither_the_heartbeat_nor_a_signal(home: Home, db: sqlite3.Connection) -> None:
    """Importing task files, which may hang, is part of it."""
    looking, answer, gave_up = threading.Event(), threading.Event(), threading.Event()

    def over() -> bool:
        looking.set()
        if not answer.wait(120):
            gave_up.set()  # nothing went on meanwhile
        return True

    try:
        async with parked(home, over) as stay:
            await until(looking.is_set)
            before = row(db)
            assert before is not None
            await until(lambda: (now := row(db)) is not None and now.heartbeat_at > before.heartbeat_at + 3)

            os.kill(os.getpid(), signal.SIGTERM)

            assert await stay is False
            assert not gave_up.is_set()
    finally:
        answer.set()


async def test_what_a_look_raises_is_no_silence(home: Home, db: sqlite3.Connection) -> None:
    def over() -> bool:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with parked(home, over):
            await until(lambda: row(db))


async def test_the_runner_that_vanished_before_is_told_of(home: Home, db: sqlite3.Connection) -> None:
    """Once: who parks takes it off the board, and whoever comes next knows nothing of it."""
    make_runner(db, heartbeat_at=NOW - HOUR_MS)

    async with parked(home, lambda: True):
        pass

    (lost,) = db.execute("SELECT text FROM events WHERE event = 'runner.lost'").fetchall()
    assert "runner pid 4121 on box went without a word" in lost[0]
    (alert,) = db.execute("SELECT text, closed_at IS NOT NULL FROM alerts WHERE key = 'heartbeat'").fetchall()
    assert "no heartbeat for 1h" in alert[0]
    assert alert[1]
    assert runners.unended(db, but="runner-3") is None
