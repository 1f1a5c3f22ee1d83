"""A week in which everything goes wrong, lived in seconds: the real timer, dealer, queue, ledger and records on a clock
that is moved from one thing to the next.

What a runner does with processes and sockets is left out: an attempt is its calls, asked of the real books of the gate,
and a vendor is whether it is up. Whatever must last is in the home, as for real; a life that is killed takes the rest
along.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest

from runner.clocks import Jump
from runner.config import Config
from runner.daemon import records
from runner.daemon.dealing import Dealer
from runner.errors import StoreError
from runner.gate.admission import Refusal
from runner.gate.book import Book
from runner.gate.call import policy_of
from runner.gate.prices import PriceList
from runner.gate.usage import Usage
from runner.gate.verdict import of_status
from runner.home import Home
from runner.redact import Redactor
from runner.settings import load
from runner.store import alerts, events, runners
from runner.store.db import Database
from runner.store.runners import Runner, RunState
from runner.store.writer import Writer
from runner.units import MicroUsd, UnixMs
from runner.work.attempt import Live
from runner.work.outcome import Ending
from runner.work.register import Register
from tests.factories import ManualClock

HOLD = MicroUsd(60_000)
"""Held for every call."""
BEAT_MS = 20 * 60_000
"""Between two looks at what nobody called for, as a tick, a heartbeat and the upkeep are."""


class Killed(Exception):
    """SIGKILL: nothing after this line happened."""


class Week:
    """One home, its vendor, and one runner after the other."""

    def __init__(self, home: Home, clock: ManualClock, patch: pytest.MonkeyPatch) -> None:
        """`afk.toml` is written already."""
        patch.setattr("runner.daemon.dealing.DEAL_AGAIN_S", 0.0)
        patch.setattr("runner.gate.book.AGAIN_S", 0.0)
        patch.setattr("apscheduler.schedulers.base.datetime", _wall(clock))
        self.home = home
        self.clock = clock
        self.config: Config = load(home.root, environ={})
        self.up = True
        """Whether the vendor answers."""
        self.tokens: Callable[[str], tuple[int, int]] = lambda _: (1, 5)
        """How many calls a job of a task makes, and how many tokens each answer has."""
        self.kill_in: str | None = None
        """The task in whose next attempt the runner is killed, with a call in flight."""
        self.paid: Counter[str] = Counter()
        """Calls that each job was answered: what its steps have recorded."""
        self.failed: Counter[str] = Counter()
        """Attempts of each job that the vendor failed."""
        self.refused: Counter[str] = Counter()
        """How often each gate said no."""
        self.numbers = itertools.count(1)
        self.life: Life | None = None

    async def start(self) -> None:
        """A runner takes over the home."""
        assert self.life is None
        self.life = Life(self)
        await self.life.begin()

    async def kill(self) -> None:
        """It goes without a word."""
        assert self.life is not None
        life, self.life = self.life, None
        await life.vanish()

    async def until(self, at: UnixMs) -> None:
        """Live on. With no runner, or once it was killed, the time just passes."""
        while self.clock.now() < at:
            if self.life is None:
                self.clock.advance(at - self.clock.now())
                return
            self.clock.advance(min(at, self.life.next_thing()) - self.clock.now())
            try:
                await self.life.turn()
            except Killed:
                await self.kill()

    async def sleep_until(self, at: UnixMs) -> None:
        """The lid is closed: the wall clock goes on, and nothing else does."""
        slept = at - self.clock.now()
        await self.jump(Jump(slept, slept))

    async def set_clock(self, by_ms: int) -> None:
        """Somebody sets the clock."""
        await self.jump(Jump(by_ms, 0))

    async def jump(self, jump: Jump) -> None:
        assert self.life is not None
        self.clock.advance(jump.by_ms)
        await self.life.jumped(jump)
        await self.life.turn()


class Life:
    """One runner process, from its first transaction until it vanishes."""

    def __init__(self, week: Week) -> None:
        self.week = week
        self.clock = week.clock
        number = next(week.numbers)
        rng = random.Random(number)
        self.database = Database.open(week.home.db, create=True)
        self.database.connection.execute("PRAGMA synchronous = OFF")  # durability is not what is looked at
        self.writer = Writer(self.database)
        now = self.clock.now()
        self.me = Runner(
            id=f"box-{number}",
            pid=number,
            pid_started="",
            boot="boot",
            host="box",
            version="0",
            state=RunState.RUNNING,
            reason=None,
            started_at=now,
            heartbeat_at=now,
            stop_seq=0,
            ended=None,
        )
        tasks = week.config.tasks
        self.book = Book(
            writer=self.writer,
            price_list=PriceList(week.config.prices),
            policy=policy_of(week.config),
            outside_stop=lambda: None,
            any_stop=lambda: None,
            clock=self.clock,
            rng=rng,
        )
        self.register = Register(
            config=week.config,
            tasks=tasks,
            runner=self.me.id,
            redactor=Redactor(()),
            may_claim=lambda: True,
            clock=self.clock,
            rng=rng,
        )
        self.dealer = Dealer(
            tasks, writer=self.writer, max_attempts=week.config.retry.max_attempts, added=lambda: None, clock=self.clock
        )
        self.timer: Any = self.dealer._timer._scheduler
        self.again_at: UnixMs | None = None
        self.beat_at = now
        self.unwritten: list[tuple[Live, Ending]] = []
        """Outcomes that are only in memory."""

    async def begin(self) -> None:
        await self.writer.write(lambda db: runners.announce(db, self.me))
        await self.writer.write(
            lambda db: records.begin(
                db,
                config=self.week.config,
                tasks=self.week.config.tasks,
                me=self.me,
                beat=None,
                stall=None,
                stopped_by_environment=False,
                now=self.clock.now(),
            )
        )
        await self.dealer.deal_all()
        self.dealer.start()
        await self.turn()

    def next_thing(self) -> UnixMs:
        """When anything happens next."""
        nexts = [job.next_run_time for job in self.timer.get_jobs()]
        due = [int(moment.timestamp() * 1000) for moment in nexts if moment is not None]
        times = [*due, self.beat_at, *([self.again_at] if self.again_at is not None else [])]
        return UnixMs(max(min(times), self.clock.now() + 1))

    async def turn(self) -> None:
        """What the timer, the tick, the heart and the pool do when their time has come."""
        self.timer._process_jobs()
        await self.settle()
        self.none_beside_another()
        if self.clock.now() >= self.beat_at:
            self.beat_at = UnixMs(self.clock.now() + BEAT_MS)
            await self.beat()
        await self.work()
        while self.dealer.owes:  # a turn that became free, or a disk that has room again; at most a try each
            before = self.slots()
            self.dealer.look()
            await self.settle()
            self.none_beside_another()
            await self.work()
            if before == self.slots():
                break

    def none_beside_another(self) -> None:
        """No schedule of this week allows two of its jobs at the same time, whatever it has to make up for."""
        open_jobs = "SELECT task, count(*) FROM jobs WHERE status IN ('pending', 'running') GROUP BY task"
        assert all(number == 1 for _, number in self.database.connection.execute(open_jobs)), "one at a time"

    def slots(self) -> int:
        """How many slots there are; it grows while dealing again gets anywhere."""
        return int(self.database.connection.execute("SELECT count(*) FROM slots").fetchone()[0])

    async def settle(self) -> None:
        """Until what the timer and the tick began is done."""
        executor = self.timer._executors["default"]
        while executor._pending_futures or self.dealer._tries:  # noqa: ASYNC110 - the library tells nobody
            await asyncio.sleep(0)

    async def beat(self) -> None:
        try:
            await self.writer.write(lambda db: runners.beat(db, self.me.id, now=self.clock.now()))
            await self.writer.write(lambda db: alerts.lapse(db, now=self.clock.now()))
        except StoreError:
            return
        await self.dealer.check()

    async def jumped(self, jump: Jump) -> None:
        await self.writer.write(lambda db: records.jumped(db, jump, now=self.clock.now()))
        await self.dealer.wake()
        self.beat_at = self.clock.now()

    async def work(self) -> None:
        """Work at whatever is due, as one worker would, until nothing is."""
        self.again_at = None
        while True:
            try:
                while self.unwritten:
                    live, ending = self.unwritten[0]
                    await self.writer.write(lambda db: self.register.close(db, live, ending, None))  # noqa: B023 - at once
                    self.unwritten.pop(0)
                claimed = await self.writer.write(lambda db: self.register.claim(db, 1))
            except StoreError:
                self.again_at = UnixMs(self.clock.now() + 60_000)
                return
            if not claimed.found:
                self.again_at = claimed.again_at
                return
            (live,) = claimed.found
            self.unwritten.append((live, await self.attempt(live)))

    async def attempt(self, live: Live) -> Ending:
        """The calls of a job that are not paid yet."""
        week, key = self.week, live.job.key
        calls, tokens = week.tokens(live.task.name)
        while week.paid[key] < calls:
            call = live.granted.call(
                upstream="house", model="house-model", hold=HOLD, request_hash=f"{key} {week.paid[key]}"
            )
            held = await self.book.hold(call)
            if isinstance(held, Refusal):
                week.refused[held.gate] += 1
                return Ending(outcome="retry", error=held.message, refusal=held)
            if week.kill_in == live.task.name:
                week.kill_in = None
                raise Killed
            if not week.up:
                await self.book.conclude(held, call, of_status(529, b"{}", {}, now=self.clock.now()))
                week.failed[key] += 1
                return Ending(outcome="retry", error="HTTP 529")
            price = self.book.price("house-model", local=False)
            assert price is not None
            await self.book.settle(held, call, price=price, used=Usage(model="house-model", input=0, output=tokens))
            week.paid[key] += 1
        return Ending(outcome="done", result='"done"')

    async def fill_disk(self) -> None:
        """No page more fits into the database, and no event into the pages there are."""
        pages = self.database.connection.execute("PRAGMA page_count").fetchone()[0]
        self.database.connection.execute(f"PRAGMA max_page_count = {pages}")
        for size in (2_000, 200, 0):
            with suppress(StoreError):
                while True:
                    await self.writer.write(lambda db: _chatter(db, "x" * size, now=self.clock.now()))  # noqa: B023

    def empty_disk(self) -> None:
        self.database.connection.execute("PRAGMA max_page_count = 1000000000")

    async def vanish(self) -> None:
        self.dealer.stop()
        await self.writer.close()


def _chatter(db: sqlite3.Connection, text: str, *, now: UnixMs) -> None:
    events.record(db, now=now, level=events.INFO, event="job.log", text=text)


def _wall(clock: ManualClock) -> type[datetime]:
    class Wall(datetime):
        """What the timer takes for the time of day."""

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return datetime.fromtimestamp(clock.now() / 1000, tz or UTC)

    return Wall


# --- which slots a week has, told without the code that is looked at --------------------------------------------------


def slots_of(line: str, zone: str, *, after: UnixMs, until: UnixMs) -> list[UnixMs]:
    """Every due time of a cron line by Vixie's rules, found by looking at each minute's clock on the wall."""
    where, tick = ZoneInfo(zone), timedelta(minutes=1)
    minutes, hours = line.split()[:2]
    fixed = "*" not in minutes and "*" not in hours
    found = []
    moment = datetime.fromtimestamp(after / 1000, UTC).replace(second=0, microsecond=0)
    end = datetime.fromtimestamp(until / 1000, UTC)
    while (moment := moment + tick) <= end:
        wall, before = moment.astimezone(where), (moment - tick).astimezone(where)
        skipped = (wall.replace(tzinfo=None) - before.replace(tzinfo=None)) // tick
        passed = [before.replace(tzinfo=None) + tick * step for step in range(1, skipped)] if fixed else []
        again = fixed and wall.fold == 1
        if any(_matches(line, one) for one in ([] if again else [wall.replace(tzinfo=None)]) + passed):
            found.append(UnixMs(int(moment.timestamp()) * 1000))
    return found


def _matches(line: str, wall: datetime) -> bool:
    minute, hour, _, _, weekday = line.split()
    return _field(minute, wall.minute) and _field(hour, wall.hour) and _field(weekday, wall.isoweekday())


def _field(field: str, value: int) -> bool:
    if field.startswith("*"):
        return value % int(field.partition("/")[2] or 1) == 0
    first, _, last = field.partition("-")
    return int(first) <= value <= int(last or first)


def rows(home: Home, query: str, *values: object) -> list[tuple[Any, ...]]:
    """Rows as a person with sqlite3 reads them."""
    db = sqlite3.connect(f"file:{home.db}?mode=ro", uri=True, timeout=30)
    try:
        return cast(list[tuple[Any, ...]], db.execute(query, values).fetchall())
    finally:
        db.close()
