"""Delivery with real children and a real server: down, slow or refusing, it holds up nobody, and nothing is lost."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from runner import telling
from runner.notify import courier
from runner.notify.deliverer import Deliverer
from runner.redact import Redactor
from runner.store import addresses, alerts
from runner.store.db import Database
from runner.store.writer import Writer
from runner.units import HOUR_MS, MINUTE_MS
from tests.factories import ManualClock
from tests.mailbox import SECRET, Mailbox

WORDS = {"title": "t", "body": "b", "kind": "info"}
LONG_S = 240.0
"""How long what must come is waited for; to start a child takes a busy machine its time."""


class Post:
    """A deliverer, the database it reads, and the hands of its clock."""

    def __init__(self, database: Database, clock: ManualClock, writer: Writer) -> None:
        self.db, self.clock, self.writer = database.connection, clock, writer
        self.guarded: list[str] = []
        self.opened: list[Deliverer] = []

    def open(self, *urls: str) -> Deliverer:
        made = Deliverer(
            urls,
            writer=self.writer,
            guard=self.guarded.append,
            redactor=Redactor(urls),
            home=Path("/srv/afk"),
            host="web1",
            clock=self.clock,
        )
        self.opened.append(made)
        return made

    def tell(self, key: str, text: str = "it is open") -> None:
        telling.tell(self.db, key=key, level="warn", text=text, now=self.clock.now())

    def events(self) -> list[str]:
        return [word for (word,) in self.db.execute("SELECT event FROM events ORDER BY id")]


@pytest.fixture
async def post(database: Database, clock: ManualClock) -> AsyncIterator[Post]:
    writer = Writer(database)
    made = Post(database, clock, writer)
    yield made
    for deliverer in made.opened:
        await deliverer.close()
    await writer.close()


async def until(look: Callable[[], object]) -> None:
    async with asyncio.timeout(LONG_S):
        while not look():  # noqa: ASYNC110 - a thread and a process answer, which know nothing of this loop
            await asyncio.sleep(0.01)


@pytest.fixture
def dead_end() -> Iterator[str]:
    """An address nobody listens at, and nobody can as long as it is taken."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"json://afk:{SECRET}@127.0.0.1:{taken.getsockname()[1]}/hook"


async def test_an_hour_without_the_server_and_all_of_it_arrives_after_once(post: Post, mailbox: Mailbox) -> None:
    deliverer = post.open(mailbox.url)
    mailbox.status = 500
    for key in ("breaker:x", "dead:t", "disk"):
        post.tell(key, f"{key} is open")
    await deliverer.finish(LONG_S)
    assert mailbox.asked == 1, "the rest is not tried on a server that refuses"
    assert post.events() == ["alert.refused"]

    await deliverer.finish(LONG_S)
    assert mailbox.asked == 1, "it rests"
    post.clock.advance(HOUR_MS)
    telling.settled(post.db, key="breaker:x", text="x answers again", now=post.clock.now())
    post.tell("stall", "it stalled")
    await deliverer.finish(LONG_S)
    assert mailbox.asked == 2
    assert alerts.counts(post.db) == (4, 4), "that it takes none is one more, which it is not told itself"
    assert post.events()[-1] == "alert.undelivered"
    (failing,) = addresses.failing(post.db, now=post.clock.now())
    assert (failing.name, failing.failures) == ("json://127.0.0.1", 2)
    assert failing.last_error is not None
    assert "error=500" in failing.last_error
    assert SECRET not in repr(post.db.execute("SELECT * FROM addresses").fetchall())

    mailbox.status = 200
    post.clock.advance(10 * MINUTE_MS)
    await deliverer.finish(LONG_S)

    assert mailbox.titles == ["breaker:x is over", "dead:t", "disk", "stall"]
    assert mailbox.texts == ["breaker:x is open", "dead:t is open", "disk is open", "it stalled"]
    assert alerts.counts(post.db) == (0, 3)
    assert not alerts.owed(post.db, limit=1)
    await deliverer.finish(LONG_S)
    assert len(mailbox.taken) == 4
    assert [word[0] for word in post.guarded] == ["+", "-"] * 3


async def test_a_dead_address_holds_up_no_other(post: Post, mailbox: Mailbox, dead_end: str) -> None:
    deliverer = post.open(dead_end, mailbox.url)
    post.tell("breaker:x")
    post.tell("breaker:y")

    await deliverer.finish(LONG_S)

    assert mailbox.titles == ["breaker:x", "breaker:y"]
    (down,) = [one for one in addresses.all_of(post.db) if one.failures]
    assert down.last_error is not None
    assert "onnection" in down.last_error
    assert alerts.counts(post.db)[0] == 2


async def test_a_runner_that_ends_waits_for_no_server_and_the_next_one_tells(post: Post, mailbox: Mailbox) -> None:
    deliverer = post.open(mailbox.url)
    mailbox.open.clear()
    post.tell("breaker:x")
    deliverer.look()
    await until(lambda: mailbox.asked)

    await deliverer.close()

    assert [word[0] for word in post.guarded] == ["+", "-"]
    assert alerts.owed(post.db, limit=1)
    mailbox.open.set()
    await post.open(mailbox.url).finish(LONG_S)
    assert mailbox.titles[-1] == "breaker:x"
    assert not alerts.owed(post.db, limit=1)


async def test_what_was_taken_and_could_not_be_written_down_is_not_told_twice(
    post: Post, mailbox: Mailbox, database: Database, tmp_path: Path
) -> None:
    """The database is locked for as long as the answer takes to be given up on."""
    deliverer = post.open(mailbox.url)
    mailbox.open.clear()
    post.tell("breaker:x")
    deliverer.look()
    await until(lambda: mailbox.asked)
    locker = sqlite3.connect(database.path, isolation_level=None)
    locker.execute("BEGIN IMMEDIATE")
    mailbox.open.set()
    await until(lambda: mailbox.taken)
    await until(lambda: not deliverer.busy)
    locker.execute("ROLLBACK")
    locker.close()
    assert alerts.owed(post.db, limit=1)

    post.clock.advance(MINUTE_MS)
    await deliverer.finish(LONG_S)

    assert mailbox.titles == ["breaker:x"]
    assert not alerts.owed(post.db, limit=1)


async def test_nothing_is_started_where_nothing_is_owed(post: Post, mailbox: Mailbox) -> None:
    deliverer = post.open(mailbox.url)
    await deliverer.finish(LONG_S)
    deliverer.stir(post.db)
    deliverer.look()

    assert not deliverer.busy
    assert post.guarded == []


async def test_a_busy_home_costs_nothing_while_an_address_rests(
    post: Post, dead_end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what is new in the outbox is a reason to look at all of it again."""
    monkeypatch.setattr("runner.notify.deliverer.LOOK_S", 0)
    deliverer = post.open(dead_end)
    post.tell("breaker:x")
    await deliverer.finish(LONG_S)
    deliverer.stir(post.db)
    deliverer.look()
    await until(lambda: not deliverer.busy)

    for _ in range(3):
        post.db.execute("INSERT INTO events (at, level, event, text) VALUES (1, 'info', 'job.done', 'done')")
        deliverer.stir(post.db)
        deliverer.look()
        assert not deliverer.busy

    post.tell("breaker:y")
    deliverer.stir(post.db)
    deliverer.look()
    assert deliverer.busy
    await deliverer.finish(LONG_S)
    assert [word[0] for word in post.guarded] == ["+", "-"], "it rests all the same"


async def test_a_child_that_is_killed_is_a_failure_like_any_other(mailbox: Mailbox) -> None:
    mailbox.open.clear()

    def kill_it(word: str) -> None:
        if word.startswith("+"):
            os.kill(int(word[1:]), signal.SIGKILL)

    assert await courier.hand(mailbox.url, [WORDS], guard=kill_it) == (
        "the process that talks to it ended without an answer"
    )


@pytest.mark.parametrize("refused", [PermissionError, ProcessLookupError])
async def test_a_group_that_is_gone_already_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, refused: type[OSError]
) -> None:
    """macOS refuses to signal a group of zombies alone. The child is collected and the guard told all the same."""
    kill = os.killpg

    def refuse(group: int, number: int) -> None:
        kill(group, number)
        raise refused

    monkeypatch.setattr(os, "killpg", refuse)
    guarded: list[str] = []

    fault = await courier.hand("bogus://host/hook", [WORDS], guard=guarded.append)

    assert fault is not None
    assert "no URL that apprise knows" in fault
    assert [word[0] for word in guarded] == ["+", "-"]
    with pytest.raises(ChildProcessError):
        os.waitpid(int(guarded[0][1:]), os.WNOHANG)  # noqa: ASYNC222 - it never waits


async def test_an_address_that_apprise_does_not_know_says_so() -> None:
    fault = await courier.hand(f"bogus://afk:{SECRET}@host/hook", [WORDS])

    assert fault is not None
    assert "no URL that apprise knows" in fault
    assert SECRET not in fault
