"""What others are told of a runner on a disk that was full: late, but not never."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest

from runner.care.disk import DiskWatch
from runner.daemon import standing
from runner.daemon.room import Room
from runner.daemon.stance import Stance
from runner.daemon.standing import Standing
from runner.daemon.switch import StopSwitch
from runner.errors import StoreError
from runner.home import Home
from runner.store import runners
from runner.store.db import Database
from runner.store.runners import Runner, RunState
from runner.store.writer import Act, T, Writer
from runner.units import Clock, SystemClock
from tests.factories import ManualClock, make_runner


class FullDisk:
    """A writer that refuses as long as there is no room."""

    def __init__(self, home: Home) -> None:
        self.full = False
        self._refused = asyncio.Semaphore(0)
        self._writer = Writer(Database.open(home.db, create=True))

    async def write(self, act: Act[T]) -> T:
        if self.full:
            self._refused.release()
            raise StoreError("the disk is full")
        return await self._writer.write(act)

    async def refusals(self, count: int) -> None:
        """Wait for that many more."""
        for _ in range(count):
            await asyncio.wait_for(self._refused.acquire(), 60)

    async def close(self) -> None:
        await self._writer.close()


@pytest.fixture
async def writer(home: Home) -> AsyncIterator[FullDisk]:
    made = FullDisk(home)
    yield made
    await made.close()


@pytest.fixture
def db(home: Home, writer: FullDisk) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(home.db, isolation_level=None)) as connection:
        yield connection


def standing_of(
    me: Runner,
    home: Home,
    writer: FullDisk,
    errands: list[asyncio.Task[None]],
    *,
    clock: Clock,
    switch: StopSwitch | None = None,
) -> Standing:
    """What a runner says of itself; what it does beside its loop is added to `errands`."""

    def errand(work: Coroutine[object, object, None]) -> None:
        errands.append(asyncio.ensure_future(work))

    return Standing(
        me=me,
        writer=writer,  # type: ignore[arg-type]
        switch=switch or StopSwitch(home, {}),
        by=switch.by_hand if switch else lambda: None,
        errand=errand,
        clock=clock,
    )


@pytest.mark.parametrize("parked_before", [False, True])
async def test_a_stop_on_a_full_disk_is_written_down_once_there_is_room(
    parked_before: bool, home: Home, writer: FullDisk, db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing changes then that would have it said by itself: the stop holds before and after."""
    monkeypatch.setattr(standing, "AGAIN_S", 0.0)
    make_runner(db, state=RunState.RUNNING)
    (me,) = runners.present(db)
    switch = StopSwitch(home, {})
    errands: list[asyncio.Task[None]] = []
    told = standing_of(me, home, writer, errands, clock=SystemClock(), switch=switch)
    pool: Any = SimpleNamespace(running={})
    stance = Stance(switch=switch, pool=pool, grace_ms=0, tell=told.tell)

    writer.full = True
    if parked_before:
        switch.park("disk", "the volume is full")
    stance.obey(ending=False)
    home.stop.touch()
    switch.look()
    stance.obey(ending=False)
    await writer.refusals(4)
    writer.full = False
    switch.unpark("disk")
    stance.obey(ending=False)
    await asyncio.gather(*errands)

    row = runners.latest(db)
    assert row is not None
    assert (row.state, row.reason, row.note) == (RunState.PARKED, "stop", None)
    assert db.execute("SELECT key FROM alerts WHERE closed_at IS NULL").fetchall() == [("stop",)]


async def test_the_last_word_is_the_one_that_is_written(
    home: Home, writer: FullDisk, db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "AGAIN_S", 0.0)
    make_runner(db, state=RunState.STARTING)
    (me,) = runners.present(db)
    errands: list[asyncio.Task[None]] = []
    told = standing_of(me, home, writer, errands, clock=SystemClock())

    writer.full = True
    told.distrust("the database cannot be written: full", now=SystemClock().now())
    told.tell(RunState.PARKED, "stop", 1)
    await writer.refusals(2)
    told.tell(RunState.RUNNING, None, 2)
    writer.full = False
    await asyncio.gather(*errands)

    row = runners.latest(db)
    assert row is not None
    assert (row.state, row.stop_seq) == (RunState.RUNNING, 2)
    assert db.execute("SELECT key, closed_at IS NOT NULL FROM alerts").fetchall() == [("database", 1)]


async def test_a_stop_that_outlasts_the_fault_of_the_database_is_not_counted_as_one(
    home: Home, writer: FullDisk, db: sqlite3.Connection
) -> None:
    make_runner(db)
    (me,) = runners.present(db)
    clock = ManualClock()
    errands: list[asyncio.Task[None]] = []
    told = standing_of(me, home, writer, errands, clock=clock)

    told.trust(now=clock.now())
    told.distrust("the database cannot be read: gone", now=clock.now())
    told.tell(RunState.PARKED, "stop", 1)
    for _ in range(2):  # the second is a later tick, while the stop holds
        clock.advance(6_000)
        told.trust(now=clock.now())
    clock.advance(100_000)
    told.tell(RunState.RUNNING, None, 2)
    await asyncio.gather(*errands)

    texts = db.execute("SELECT text FROM alerts").fetchall()
    assert texts == [("parked for 6s: the database cannot be read: gone",)]


@pytest.fixture
def watched(home: Home, writer: FullDisk, monkeypatch: pytest.MonkeyPatch) -> tuple[Room, list[str | None]]:
    """The room, and what its next looks find."""
    looks: list[str | None] = []
    monkeypatch.setattr(DiskWatch, "look", lambda _self: looks.pop(0))
    made = Room(
        home,
        low_mb=None,
        switch=StopSwitch(home, {}),
        writer=writer,  # type: ignore[arg-type]
        remark=lambda _: None,
        clock=SystemClock(),
    )
    return made, looks


ALERTS = "SELECT text, closed_at IS NOT NULL FROM alerts WHERE key = 'disk'"


async def test_a_disk_that_fills_at_once_is_told_of_when_there_is_room_again(
    watched: tuple[Room, list[str | None]], writer: FullDisk, db: sqlite3.Connection
) -> None:
    """Nobody would ever know why nothing ran for a night."""
    watching, looks = watched
    looks += [None, "0 MB free", "0 MB free", None, None]
    await watching.look()
    writer.full = True
    await watching.look()
    await watching.look()
    await writer.refusals(2)
    writer.full = False
    await watching.look()
    await watching.look()

    ((text, over),) = db.execute(ALERTS).fetchall()
    assert text.startswith("parked: 0 MB free; ")
    assert over
    assert db.execute("SELECT event FROM events ORDER BY id").fetchall() == [("disk.low",), ("disk.room",)]


async def test_what_a_runner_before_us_told_of_the_disk_is_settled(
    watched: tuple[Room, list[str | None]], db: sqlite3.Connection
) -> None:
    watching, looks = watched
    looks += ["0 MB free", None]
    await watching.look()
    assert [over for _, over in db.execute(ALERTS)] == [0]
    watching._told = None  # as one that has just started
    await watching.look()

    assert [over for _, over in db.execute(ALERTS)] == [1]


async def test_a_stop_file_alone_is_told_of_when_no_kill_wrote_down_more(
    home: Home, writer: FullDisk, db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`kill` makes the file first, and says who and why next. That we are parked is written down at once."""
    make_runner(db, state=RunState.RUNNING)
    (me,) = runners.present(db)
    switch = StopSwitch(home, {})
    errands: list[asyncio.Task[None]] = []
    told = standing_of(me, home, writer, errands, clock=SystemClock(), switch=switch)
    home.stop.touch()
    switch.look()

    def alerts() -> list[str]:
        return [row[0] for row in db.execute("SELECT text FROM alerts")]

    monkeypatch.setattr(standing, "ROW_S", 3600.0)
    told.tell(RunState.PARKED, "stop", 0)
    while runners.present(db)[0].state is not RunState.PARKED:
        await asyncio.wait(errands, timeout=0.01)
    assert alerts() == []
    told.tell(RunState.DRAINING, "asked to end", 0)
    await errands[-1]
    assert alerts() == ["stopped by a STOP file; `afk-runner resume` lifts it"], "who leaves tells it before"
    errands[0].cancel()

    db.execute("DELETE FROM alerts")
    monkeypatch.setattr(standing, "ROW_S", 0.0)
    told.tell(RunState.PARKED, "stop", 0)
    await errands[-1]
    assert alerts() == ["stopped by a STOP file; `afk-runner resume` lifts it"]
