"""One thread writes for all: what queues up commits together, and a failing act hurts nobody else."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from runner.errors import StoreBusy, StoreMissing
from runner.store import db as store
from runner.store import jobs
from runner.store.db import Database
from runner.store.turnstile import Turnstile
from runner.store.writer import Writer
from tests.factories import make_job


@pytest.fixture
async def writer(tmp_path: Path) -> AsyncIterator[Writer]:
    made = Writer(Database.open(tmp_path / "agent.db", create=True))
    yield made
    await made.close()


class Gate:
    """Holds the writer's thread inside a transaction until it is opened."""

    def __init__(self, writer: Writer) -> None:
        self._entered = threading.Event()
        self._open = threading.Event()
        self._act = asyncio.ensure_future(writer.write(self._wait))

    def _wait(self, _: sqlite3.Connection) -> None:
        self._entered.set()
        assert self._open.wait(30)

    async def shut(self) -> None:
        """Until the thread stands in it."""
        await asyncio.to_thread(self._entered.wait, 30)

    async def open(self) -> None:
        """Let it go on."""
        self._open.set()
        await self._act


def changes(db: sqlite3.Connection) -> int:
    """A number that moves with each commit that another connection made."""
    return int(db.execute("PRAGMA data_version").fetchone()[0])


async def test_what_queues_up_commits_together(writer: Writer, tmp_path: Path) -> None:
    """Twenty acts that wait while the thread is busy share one commit."""
    reader = store.open_reader(tmp_path / "agent.db")
    gate = Gate(writer)
    await gate.shut()
    seen: list[int] = []

    def act(db: sqlite3.Connection) -> int:
        seen.append(changes(reader))
        return make_job(db).id

    acts = [asyncio.ensure_future(writer.write(act)) for _ in range(20)]
    await asyncio.sleep(0)  # each has handed its act over
    await gate.open()

    assert len(set(await asyncio.gather(*acts))) == 20
    assert len(seen) == 20
    assert len(set(seen)) == 1, "nothing was committed between the first and the last of them"
    assert reader.execute("SELECT count(*) FROM jobs").fetchone() == (20,)
    reader.close()


async def test_a_failing_act_does_not_hurt_its_neighbours(writer: Writer, tmp_path: Path) -> None:
    """The one that fails hears of it, leaves nothing, and the others are durable once each."""
    gate = Gate(writer)
    await gate.shut()

    def good(db: sqlite3.Connection, key: str) -> str:
        return make_job(db, key=key).key

    def bad(db: sqlite3.Connection) -> None:
        make_job(db, key="bad")
        raise ValueError("no")

    before = [asyncio.ensure_future(writer.write(lambda db, n=n: good(db, f"b{n}"))) for n in range(3)]
    failing = asyncio.ensure_future(writer.write(bad))
    after = [asyncio.ensure_future(writer.write(lambda db, n=n: good(db, f"a{n}"))) for n in range(3)]
    await asyncio.sleep(0)
    await gate.open()

    assert await asyncio.gather(*before, *after) == ["b0", "b1", "b2", "a0", "a1", "a2"]
    with pytest.raises(ValueError, match="no"):
        await failing
    reader = store.open_reader(tmp_path / "agent.db")
    keys = [row[0] for row in reader.execute("SELECT key FROM jobs ORDER BY key")]
    assert keys == ["a0", "a1", "a2", "b0", "b1", "b2"]
    reader.close()


async def test_a_constraint_one_act_breaks_is_its_own(writer: Writer) -> None:
    gate = Gate(writer)
    await gate.shut()
    fine = asyncio.ensure_future(writer.write(lambda db: make_job(db, key="fine").key))
    broken = asyncio.ensure_future(writer.write(lambda db: db.execute("UPDATE jobs SET priority = 99")))
    await asyncio.sleep(0)
    await gate.open()

    assert await fine == "fine"
    with pytest.raises(sqlite3.IntegrityError):
        await broken


async def test_a_caller_that_leaves_does_not_take_its_act_along(writer: Writer) -> None:
    gate = Gate(writer)
    await gate.shut()
    leaving = asyncio.ensure_future(writer.write(lambda db: make_job(db, key="left").key))
    await asyncio.sleep(0)
    leaving.cancel()
    await gate.open()

    found = await writer.write(lambda db: jobs.by_key(db, "left"))
    assert found is not None
    assert leaving.cancelled()


async def test_a_lock_nobody_lets_go_of_is_waited_for_once(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten acts that queued up behind it hear so together, not one after the other."""
    waits: list[float] = []

    def turn(_: Turnstile, timeout_s: float) -> Iterator[None]:
        waits.append(timeout_s)
        raise StoreBusy("another process has been writing")

    gate = Gate(writer)
    await gate.shut()
    acts = [asyncio.ensure_future(writer.write(lambda db: make_job(db).id)) for _ in range(10)]
    await asyncio.sleep(0)
    monkeypatch.setattr(Turnstile, "turn", turn)
    await gate.open()

    answers = await asyncio.gather(*acts, return_exceptions=True)

    assert {type(answer) for answer in answers} == {StoreBusy}
    assert len(waits) == 1


async def test_a_file_that_went_is_told_to_each(writer: Writer, tmp_path: Path) -> None:
    gate = Gate(writer)
    await gate.shut()
    acts = [asyncio.ensure_future(writer.write(lambda db: make_job(db).id)) for _ in range(3)]
    await asyncio.sleep(0)
    (tmp_path / "agent.db").rename(tmp_path / "aside.db")
    await gate.open()

    answers = await asyncio.gather(*acts, return_exceptions=True)
    assert {type(answer) for answer in answers} == {StoreMissing}
