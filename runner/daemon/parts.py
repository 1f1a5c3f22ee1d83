"""The wiring: what a runner is made of, opened in order and closed in reverse.

A new part is opened in one of the `_open_…` steps, with what closes it in `_closers`, and used by the loop.
"""

from __future__ import annotations

import asyncio
import random
import shlex
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial

from runner.clocks import seconds_asleep
from runner.config import Config, TaskConfig
from runner.daemon import records
from runner.daemon.dealing import Dealer
from runner.daemon.heart import Heart
from runner.daemon.log import LogFile
from runner.daemon.morning import Morning
from runner.daemon.pokes import Pokes
from runner.daemon.room import Room
from runner.daemon.sentries import Sentries
from runner.daemon.stance import Stance
from runner.daemon.standing import Standing
from runner.daemon.switch import StopSwitch
from runner.daemon.waking import Waking
from runner.daemon.watch import Watch
from runner.daemon.watchdog import last_stall
from runner.errors import StoreError
from runner.gate.book import Book
from runner.gate.call import policy_of
from runner.gate.calls import Calls
from runner.gate.counts import Counts
from runner.gate.jobapi import JobApi
from runner.gate.passes import Passes
from runner.gate.prices import PriceList
from runner.gate.server import Gate
from runner.gate.upstreams import Upstreams
from runner.heartbeat import last_beat
from runner.home import Home
from runner.notify.deliverer import Deliverer
from runner.redact import Redactor
from runner.sdnotify import Notifier
from runner.starts import Starts
from runner.store import controls, events, jobs, runners
from runner.store.db import Database
from runner.store.runners import Runner
from runner.store.writer import Writer
from runner.units import Clock, plural
from runner.upkeep import Upkeep
from runner.work.guard_process import GuardProcess
from runner.work.pool import Pool
from runner.work.register import Register

WAKE_BATCH = 500
CLOSE_S = 5.0
"""For settling the ledger and ending children, after the grace."""


class Parts:
    """What works together in one runner process."""

    writer: Writer
    log: LogFile
    watch: Watch
    guard: GuardProcess
    upstreams: Upstreams
    gate: Gate
    pool: Pool
    standing: Standing
    stance: Stance
    deliverer: Deliverer
    waking: Waking
    dealer: Dealer
    upkeep: Upkeep
    room: Room
    morning: Morning
    heart: Heart
    sentries: Sentries
    pokes: Pokes

    def __init__(
        self,
        home: Home,
        config: Config,
        tasks: Mapping[str, TaskConfig],
        database: Database,
        *,
        me: Runner,
        notifier: Notifier,
        ending: asyncio.Event,
        how: Callable[[], str],
        say: Callable[[str], None],
        clock: Clock,
    ) -> None:
        """`ending`: we were asked to end. `how`: how it went, asked at the very end."""
        self.home = home
        self.config = config
        self.tasks = tasks
        self.me = me
        self.clock = clock
        self.switch = StopSwitch(home)
        self._notifier = notifier
        self._database = database
        self._ending = ending
        self._how = how
        self._say = say
        self._rng = random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._redact = Redactor(config.secrets)
        self._closers: list[Callable[[], Awaitable[None]]] = []
        """What undoes each thing that was opened."""
        self._errands: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Open everything. Raises RunnerError; what was opened until then is for `close`."""
        self.writer = Writer(self._database)
        self._closers.append(self.writer.close)
        await self._open_records()
        await self._open_gate()
        self._open_work()
        self.heart = Heart(
            self.home,
            writer=self.writer,
            switch=self.switch,
            pool=self.pool,
            me=self.me,
            distrust=self.distrust,
            clock=self.clock,
        )
        self._closers.append(self.heart.close)
        self.sentries = Sentries(
            self.home,
            self.config.watch,
            heart=self.heart,
            pool=self.pool,
            stance=self.stance,
            switch=self.switch,
            writer=self.writer,
            notifier=self._notifier,
            errand=self.errand,
            clock=self.clock,
        )
        self._closers.append(self.sentries.close)
        self.pokes = Pokes(self.home.fifo)
        self._closers.append(self.pokes.close)
        park = f"afk-runner kill --home {shlex.quote(str(self.home.root))}"
        self.remark(
            f"afk-runner {self.me.version} works on {self.home.root} (pid {self.me.pid}, "
            f"{plural(self.config.runner.workers, 'worker')}); park it with `{park}`"
        )

    async def _open_records(self) -> None:
        """Log, database and guard: from here on the home is ours, and nothing of the last runner lives."""
        try:
            self.log = LogFile(self.home.logs, self._redact, most_bytes=self.config.runner.log_mb * 1_000_000)
        except OSError as error:
            raise StoreError(f"{self.home.logs} cannot be written: {error.strerror}") from error
        await self.writer.write(lambda db: runners.announce(db, self.me))
        self.watch = Watch(self._database, self.log)
        self._closers += [self._close_watch, self._say_goodbye]
        self.guard = await asyncio.get_running_loop().run_in_executor(None, GuardProcess, self.home)
        self._closers.append(self._close_guard)
        await self._wake()
        beat, stall_s = last_beat(self.home.heartbeat), self.config.watch.stall_ms / 1000
        stall = last_stall(self.home.logs, beat=beat, asleep_s=seconds_asleep(), stall_s=stall_s)
        await self.writer.write(
            lambda db: records.begin(
                db,
                config=self.config,
                tasks=self.tasks,
                me=self.me,
                beat=beat,
                stall=stall,
                stopped_by_environment=self.switch.by_environment,
                now=self.clock.now(),
            )
        )
        if stall is not None and stall.frozen:
            Starts(self.home.starts).excuse_last()

        self.deliverer = Deliverer(
            self.config.alert_urls,
            writer=self.writer,
            guard=self.guard.tell,
            redactor=self._redact,
            home=self.home.root,
            host=self.me.host,
            clock=self.clock,
        )
        self._closers.append(self.deliverer.close)

    async def _wake(self) -> None:
        """Make the jobs due that waited for what a start mends; a hundred thousand of them in many short turns."""
        now = self.clock.now()
        gates = await self.writer.write(lambda db: records.lifted(db, config=self.config, tasks=self.tasks))
        for gate in gates:
            while await self.writer.write(partial(jobs.wake, gate=gate, now=now, limit=WAKE_BATCH)) == WAKE_BATCH:
                pass

    async def _open_gate(self) -> None:
        self.passes = Passes()
        self.waking = Waking(
            self.config.upstreams,
            told=lambda text: self.stance.note(text),  # noqa: PLW0108 - there is no stance yet
        )
        self.upstreams = Upstreams(self.config.upstreams, self.config.models, awaits_network=lambda: self.waking.holds)
        self._closers.append(self.upstreams.close)
        book = Book(
            writer=self.writer,
            price_list=PriceList(self.config.prices),
            policy=policy_of(self.config),
            outside_stop=self.switch.outside,
            any_stop=lambda: self.switch.any(self.watch.reader),
            clock=self.clock,
            rng=self._rng,
            redact=self._redact,
        )
        of_tasks = {task.model for task in self.tasks.values() if task.model}
        self.gate = Gate(
            calls=Calls(book=book, upstreams=self.upstreams),
            counts=Counts(book=book, upstreams=self.upstreams),
            jobs=JobApi(
                writer=self.writer,
                tasks=self.tasks,
                max_attempts=self.config.retry.max_attempts,
                redactor=self._redact,
                clock=self.clock,
            ),
            passes=self.passes,
            models=tuple(sorted(of_tasks | {model for model in self.config.models if not model.endswith("*")})),
        )
        await self.gate.start()
        self._closers.append(self.gate.close)

    def _open_work(self) -> None:
        self.home.work.joinpath("home").mkdir(mode=0o700, parents=True, exist_ok=True)
        register = Register(
            config=self.config,
            tasks=self.tasks,
            runner=self.me.id,
            redactor=self._redact,
            may_claim=self._may_claim,
            clock=self.clock,
            rng=self._rng,
        )
        self.pool = Pool(
            home=self.home,
            config=self.config,
            register=register,
            writer=self.writer,
            passes=self.passes,
            gate_url=self.gate.url,
            redactor=self._redact,
            guard=self.guard.tell,
            may_claim=self._may_claim,
            clock=self.clock,
        )
        self._closers.append(self.pool.close)
        self.standing = Standing(
            me=self.me,
            writer=self.writer,
            switch=self.switch,
            by=self.switch.who,
            errand=self.errand,
            clock=self.clock,
        )
        self.stance = Stance(
            switch=self.switch, pool=self.pool, grace_ms=self.config.runner.stop_grace_ms, tell=self.standing.tell
        )
        self.dealer = Dealer(
            self.tasks,
            writer=self.writer,
            max_attempts=self.config.retry.max_attempts,
            added=self.pool.pump,
            clock=self.clock,
        )
        self.upkeep = Upkeep(
            writer=self.writer,
            config=self.config,
            database=self.home.db,
            outputs=self.home.attempts,
            clock=self.clock,
        )
        self.room = Room(
            self.home,
            low_mb=self.config.runner.disk_low_mb,
            switch=self.switch,
            writer=self.writer,
            remark=self.remark,
            clock=self.clock,
        )
        self.morning = Morning(
            self.home, self.config.report, zone=self.config.zone, writer=self.writer, clock=self.clock
        )

    # --- closing ----------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Undo what was opened, the last first. A step that fails or hangs keeps none of the others from its turn."""
        deadline = time.monotonic() + CLOSE_S
        while self._closers:
            step = self._closers.pop()
            try:
                await asyncio.wait_for(step(), max(0.5, deadline - time.monotonic()))
            except TimeoutError:
                self.remark(f"gave up on {step.__qualname__} while closing")
            except Exception as error:
                self.remark(f"while closing, {step.__qualname__}: {error}")

    async def _close_guard(self) -> None:
        self.guard.close()

    async def _say_goodbye(self) -> None:
        await self.writer.write(lambda db: records.leave(db, self.me, how=self._how(), now=self.clock.now()))

    async def _close_watch(self) -> None:
        self.watch.copy_events()
        self.watch.close()
        self.log.close()

    # --- what parts ask and say -------------------------------------------------------------------------------------

    def errand(self, work: Coroutine[object, object, None]) -> None:
        """Have it done beside the loop."""
        task = asyncio.ensure_future(work)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    def remark(self, text: str) -> None:
        """Say it to whoever started us, and in the log."""
        self._say(text)
        if hasattr(self, "log"):
            self.log.say(events.INFO, "runner.remark", text)

    def distrust(self, what: str, error: Exception) -> None:
        """A database that cannot be `read` or `written` counts as a stop until it can be again."""
        if self.switch.distrust(what, str(error)):
            self.standing.distrust(f"the database cannot be {what}: {error}", now=self.clock.now())
            self.remark(f"parked, the database cannot be {what}: {error}; goes on by itself once it can be")

    def _may_claim(self) -> bool:
        """Whether anything may start, as far as can be told without the database. Any thread may ask."""
        return not self._ending.is_set() and self.switch.outside() is None and not self.waking.holds

    def stopped_by(self) -> str:
        """Who or what stops the runner, if anything does; follows "stopped by"."""
        return self.switch.who() or self.switch.fault or controls.BY_HAND
