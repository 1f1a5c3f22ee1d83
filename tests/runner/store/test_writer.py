"""What is asked for together commits together, the loop waits for nobody, and a failing act hurts nobody else."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest

from runner.errors import StoreBusy, StoreMissing
from runner.store import db as store
from runner.store import jobs
from runner.store import writer as store_writer
from runner.store.db import Database
from runner.store.turnstile import Turnstile
from runner.store.writer import MOST_IN_ONE, SLOW_S, Writer
from tests.factories import make_job


@pytest.fixture
async def writer(tmp_path: Path) -> AsyncIterator[Writer]:
    made = Writer(Database.open(tmp_path / "agent.db", create=True))
    yield made
    await made.close()


class Gate:
    """Another process that writes: what is asked for queues up in the writer's thread until it is open."""

    def __init__(self, folder: Path) -> None:
        turnstile = Turnstile(folder / "agent.db-turn-a", folder / "agent.db-turn-b")
        self._held = ExitStack()
        self._held.callback(turnstile.close)
        self._held.enter_context(turnstile.turn(5))

    def open(self) -> None:
        """Let the writer have its turn."""
        self._held.close()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for a turn goes on waiting, however long the machine stands still."""
    monkeypatch.setitem(Database.write.__kwdefaults__, "wait_s", 240.0)


@pytest.fixture
def gate(writer: Writer, tmp_path: Path, patient: None) -> Iterator[Gate]:
    made = Gate(tmp_path)
    yield made
    made.open()


def changes(db: sqlite3.Connection) -> int:
    """A number that moves with each commit that another connection made."""
    return int(db.execute("PRAGMA data_version").fetchone()[0])


async def test_what_is_asked_for_in_one_turn_commits_together_and_at_once(writer: Writer, tmp_path: Path) -> None:
    """On a quick disk nothing is handed to a thread, and twenty acts are one commit."""
    reader = store.open_reader(tmp_path / "agent.db")
    seen: list[tuple[int, int]] = []

    def act(db: sqlite3.Connection) -> int:
        seen.append((changes(reader), threading.get_ident()))
        return make_job(db).id

    made = await asyncio.gather(*(writer.write(act) for _ in range(20)))

    assert len(set(made)) == 20
    assert len(seen) == 20
    assert {thread for _, thread in seen} == {threading.get_ident()}
    assert len({commit for commit, _ in seen}) == 1
    reader.close()


async def test_the_loop_does_not_wait_for_another_process(writer: Writer, gate: Gate) -> None:
    """While somebody else writes the loop turns; what was asked for is done when they are."""
    asked = asyncio.ensure_future(writer.write(lambda db: make_job(db, key="late").key))
    for _ in range(50):
        await asyncio.sleep(0.001)

    assert not asked.done()
    gate.open()
    assert await asked == "late"


@pytest.mark.usefixtures("patient")
async def test_nor_for_somebody_who_passed_no_turnstile(writer: Writer, tmp_path: Path) -> None:
    """A person's open transaction in sqlite3 holds up the thread, not the loop."""
    person = sqlite3.connect(tmp_path / "agent.db", isolation_level=None)
    person.execute("BEGIN IMMEDIATE")
    asked = asyncio.ensure_future(writer.write(lambda db: make_job(db, key="late").key))
    for _ in range(50):
        await asyncio.sleep(0.001)

    assert not asked.done()
    person.execute("ROLLBACK")
    assert await asked == "late"
    person.close()


async def test_while_commits_take_long_the_loop_leaves_them_to_the_thread(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that takes its time must not keep the gate and the signals waiting; one that held a checkpoint may."""
    now = [0.0]
    monkeypatch.setattr(store_writer, "time", SimpleNamespace(monotonic=lambda: now[0]))

    async def commit(takes_s: float) -> bool:
        """Whether the loop made it."""

        def act(_: sqlite3.Connection) -> int:
            now[0] += takes_s
            return threading.get_ident()

        return await writer.write(act) == threading.get_ident()

    assert [await commit(2 * SLOW_S), await commit(SLOW_S / 8)] == [True, True], "one alone says little"
    by_loop = [await commit(2 * SLOW_S) for _ in range(8)]
    assert by_loop[0]
    assert not by_loop[-1]
    by_loop = [await commit(SLOW_S / 8) for _ in range(16)]
    assert not by_loop[0]
    assert by_loop[-1], "the disk is quick again"
    assert await commit(3600.0), "one that took an hour"
    assert any([await commit(SLOW_S / 8) for _ in range(16)]), "is soon forgotten"


async def test_the_thread_commits_together_and_each_act_once(writer: Writer, tmp_path: Path) -> None:
    reader = store.open_reader(tmp_path / "agent.db")
    writer.took_s = 2 * SLOW_S
    seen: list[tuple[int, int]] = []

    def act(db: sqlite3.Connection) -> int:
        seen.append((changes(reader), threading.get_ident()))
        return make_job(db).id

    made = await asyncio.gather(*(writer.write(act) for _ in range(20)))

    assert len(set(made)) == len(seen) == 20
    assert len(set(seen)) == 1
    assert seen[0][1] != threading.get_ident()
    assert reader.execute("SELECT count(*) FROM jobs").fetchone() == (20,)
    reader.close()


async def test_what_an_answer_asks_for_while_it_closes_is_committed_too(tmp_path: Path) -> None:
    """As the end of an attempt that a cut made: its outcome is asked for when the rest is answered."""
    made = Writer(Database.open(tmp_path / "agent.db", create=True))
    made.took_s = 2 * SLOW_S
    last: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def ask_again(_: object, error: BaseException | None) -> None:
        made.then(lambda db: make_job(db, key="last").key, lambda key, _: last.set_result(str(key)))

    made.then(lambda db: make_job(db, key="first").key, ask_again)
    await made.close()

    assert last.done()
    reader = store.open_reader(tmp_path / "agent.db")
    assert [row[0] for row in reader.execute("SELECT key FROM jobs ORDER BY id")] == ["first", "last"]
    reader.close()


async def test_what_queues_up_commits_together(writer: Writer, gate: Gate, tmp_path: Path) -> None:
    """Twenty acts that wait while another process writes share one commit."""
    reader = store.open_reader(tmp_path / "agent.db")
    seen: list[int] = []

    def act(db: sqlite3.Connection) -> int:
        seen.append(changes(reader))
        return make_job(db).id

    acts = [asyncio.ensure_future(writer.write(act)) for _ in range(20)]
    await asyncio.sleep(0)  # each has handed its act over
    gate.open()

    assert len(set(await asyncio.gather(*acts))) == 20
    assert len(seen) == 20
    assert len(set(seen)) == 1, "nothing was committed between the first and the last of them"
    assert reader.execute("SELECT count(*) FROM jobs").fetchone() == (20,)
    reader.close()


async def test_what_is_asked_for_while_the_thread_commits_shares_the_next_commit(
    writer: Writer, gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And that one is made by the loop again: two threads at work on one interpreter cost more than they give."""
    monkeypatch.setattr(store_writer, "SLOW_S", 3600.0)
    threads: list[tuple[int, int]] = []
    reader = store.open_reader(tmp_path / "agent.db")

    def act(db: sqlite3.Connection) -> int:
        threads.append((changes(reader), threading.get_ident()))
        return make_job(db).id

    first = asyncio.ensure_future(writer.write(act))
    for _ in range(3):  # it asks, it looks for the turn, it hands over
        await asyncio.sleep(0)
    later = [asyncio.ensure_future(writer.write(act)) for _ in range(2 * MOST_IN_ONE)]
    await asyncio.sleep(0)
    assert not threads, "nothing begins while another process writes"
    gate.open()
    await asyncio.gather(first, *later)

    of_first, *of_later = threads
    assert of_first[1] != threading.get_ident()
    assert {thread for _, thread in of_later} == {threading.get_ident()}
    commits = [commit for commit, _ in of_later]
    assert [commits.count(commit) for commit in dict.fromkeys(commits)] == [MOST_IN_ONE, MOST_IN_ONE]
    reader.close()


async def test_what_may_wait_shares_the_commit_of_what_cannot(writer: Writer, tmp_path: Path) -> None:
    """An hour would be long: the first that cannot wait takes it along. Left alone, it is committed all the same."""
    reader = store.open_reader(tmp_path / "agent.db")
    seen: list[int] = []
    done: asyncio.Queue[int | None] = asyncio.Queue()

    def act(db: sqlite3.Connection) -> int:
        seen.append(changes(reader))
        return make_job(db).id

    writer.then(act, lambda id, _: done.put_nowait(id), within_s=3600)
    writer.then(act, lambda id, _: done.put_nowait(id), within_s=3600)
    await asyncio.sleep(0)
    assert not seen
    await writer.write(act)
    assert len(seen) == 3
    assert len(set(seen)) == 1
    assert {await done.get(), await done.get()} <= {row[0] for row in reader.execute("SELECT id FROM jobs")}

    writer.then(act, lambda id, _: done.put_nowait(id), within_s=0.01)
    assert await done.get() is not None
    writer.then(act, lambda id, _: done.put_nowait(id), within_s=3600)
    await writer.close()
    assert await done.get() is not None, "what waits when it closes is committed"
    reader.close()


async def test_a_failing_act_does_not_hurt_its_neighbours(writer: Writer, gate: Gate, tmp_path: Path) -> None:
    """The one that fails hears of it, leaves nothing, and the others are durable once each."""

    def good(db: sqlite3.Connection, key: str) -> str:
        return make_job(db, key=key).key

    def bad(db: sqlite3.Connection) -> None:
        make_job(db, key="bad")
        raise ValueError("no")

    before = [asyncio.ensure_future(writer.write(lambda db, n=n: good(db, f"b{n}"))) for n in range(3)]
    failing = asyncio.ensure_future(writer.write(bad))
    after = [asyncio.ensure_future(writer.write(lambda db, n=n: good(db, f"a{n}"))) for n in range(3)]
    await asyncio.sleep(0)
    gate.open()

    assert await asyncio.gather(*before, *after) == ["b0", "b1", "b2", "a0", "a1", "a2"]
    with pytest.raises(ValueError, match="no"):
        await failing
    reader = store.open_reader(tmp_path / "agent.db")
    keys = [row[0] for row in reader.execute("SELECT key FROM jobs ORDER BY key")]
    assert keys == ["a0", "a1", "a2", "b0", "b1", "b2"]
    reader.close()


async def test_a_constraint_one_act_breaks_is_its_own(writer: Writer, gate: Gate) -> None:
    fine = asyncio.ensure_future(writer.write(lambda db: make_job(db, key="fine").key))
    broken = asyncio.ensure_future(writer.write(lambda db: db.execute("UPDATE jobs SET priority = 99")))
    await asyncio.sleep(0)
    gate.open()

    assert await fine == "fine"
    with pytest.raises(sqlite3.IntegrityError):
        await broken


async def test_a_caller_that_leaves_does_not_take_its_act_along(writer: Writer, gate: Gate) -> None:
    leaving = asyncio.ensure_future(writer.write(lambda db: make_job(db, key="left").key))
    await asyncio.sleep(0)
    leaving.cancel()
    gate.open()

    found = await writer.write(lambda db: jobs.by_key(db, "left"))
    assert found is not None
    assert leaving.cancelled()


async def test_what_fails_after_a_commit_keeps_no_other_from_its_answer(writer: Writer) -> None:
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context["exception"]))

    def fails(given: int | None, error: BaseException | None) -> None:
        raise LookupError(given, error)

    writer.then(lambda db: make_job(db, key="first").id, fails)
    found = await writer.write(lambda db: jobs.by_key(db, "first"))

    assert found is not None, "both were in one commit"
    assert [str(fault) for fault in faults] == [f"({found.id}, None)"]


async def test_a_lock_nobody_lets_go_of_is_waited_for_once(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten acts that queued up behind it hear so together, not one after the other."""
    waits: list[float] = []

    def take(_: Turnstile, timeout_s: float) -> None:
        waits.append(timeout_s)
        raise StoreBusy("another process has been writing")

    monkeypatch.setattr(Turnstile, "take", take)
    acts = [asyncio.ensure_future(writer.write(lambda db: make_job(db).id)) for _ in range(10)]

    answers = await asyncio.gather(*acts, return_exceptions=True)

    assert {type(answer) for answer in answers} == {StoreBusy}
    assert waits == [store.AT_ONCE_S, store.WRITE_WAIT_S], "a look from the loop, and a wait in the thread"


async def test_a_file_that_went_is_told_to_each(writer: Writer, gate: Gate, tmp_path: Path) -> None:
    acts = [asyncio.ensure_future(writer.write(lambda db: make_job(db).id)) for _ in range(3)]
    await asyncio.sleep(0)
    (tmp_path / "agent.db").rename(tmp_path / "aside.db")
    gate.open()

    answers = await asyncio.gather(*acts, return_exceptions=True)
    assert {type(answer) for answer in answers} == {StoreMissing}
