"""The runner process: wiring, signals, heartbeat, the loop. It runs no payload and imports none."""

from __future__ import annotations

import asyncio
import os
import random
import shlex
import signal
import sqlite3
import stat
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from pathlib import Path

from runner import schedule, spending, upkeep
from runner.config import Config, TaskConfig
from runner.dealing import Dealer
from runner.errors import Exit, RunnerError, StoreError
from runner.gate.admission import CAP_GATES
from runner.gate.book import Book
from runner.gate.call import policy_of
from runner.gate.calls import Calls
from runner.gate.counts import Counts
from runner.gate.jobapi import JobApi
from runner.gate.passes import Passes
from runner.gate.prices import PriceList
from runner.gate.server import Gate
from runner.gate.upstreams import Upstreams
from runner.heartbeat import HeartbeatFile
from runner.home import Home
from runner.log import LogFile
from runner.redact import Redactor
from runner.stance import Stance
from runner.store import controls, events, jobs, rate_turns, runners
from runner.store.db import Database
from runner.store.runners import Runner, RunState
from runner.store.writer import Writer
from runner.switch import StopSwitch
from runner.units import Clock, UnixMs, duration, plural
from runner.watch import UNREADABLE_S, Watch
from runner.work.attempt import CONFINE_GATE
from runner.work.guard_process import GuardProcess
from runner.work.outcome import Cut
from runner.work.pool import Pool
from runner.work.register import LEASE_MS, Register, known_again

TICK_S = 0.25
POKES_S = 0.02
"""Between two ticks that somebody's commits ask for: a burst of them costs one tick."""
BEAT_S = 2.0
UPKEEP_S = 60.0
JUMP_MS = 15_000
"""Wall and monotonic clock further apart than before by this: the machine slept or the clock was set."""
CLOSE_S = 5.0
"""For settling the ledger and ending children, after the grace."""


class Daemon:
    """One runner process, from its lock to its last word."""

    def __init__(
        self,
        home: Home,
        config: Config,
        tasks: Mapping[str, TaskConfig],
        database: Database,
        *,
        me: Runner,
        once: bool,
        supervised: bool,
        say: Callable[[str], None],
        clock: Clock,
    ) -> None:
        """For the holder of the home's lock alone. `say`: a remark for whoever started us."""
        self._home = home
        self._config = config
        self._tasks = tasks
        self._database = database
        self._once = once
        self._supervised = supervised
        self._clock = clock
        self._rng = random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._me = me
        self._say = say
        self._redact = Redactor(config.secrets)
        self._signals = 0
        self._asked = asyncio.Event()
        """A signal asked us to end."""
        self._switch = StopSwitch(home)
        self._guard_again_at = 0.0
        self._unwritable_since: float | None = None
        self._closers: list[Callable[[], Awaitable[None]]] = []
        """What undoes each thing that was opened."""
        self._ticked_at = 0.0
        self._later_tick: asyncio.TimerHandle | None = None
        """The tick that pokes asked for too soon after the last one."""
        self._tasks_of_loop: set[asyncio.Task[None]] = set()

    # --- life -----------------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """The whole life; the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        loop.add_signal_handler(signal.SIGHUP, lambda: None)  # a lost terminal is no reason to stop
        self._writer = Writer(self._database)
        self._closers.append(self._writer.close)
        try:
            await self._open()
            await self._work()
        finally:
            await self._close()
        if self._once and self._switch.fault is not None:
            raise StoreError(f"nothing more could be done: {self._switch.fault}")
        return Exit.OK if self._supervised or self._signals < 2 else 130

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            self._log = LogFile(self._home.logs, self._redact)
        except OSError as error:
            raise StoreError(f"{self._home.logs} cannot be written: {error.strerror}") from error
        await self._writer.write(lambda db: runners.announce(db, self._me))
        self._watch = Watch(self._database, self._log)
        self._closers += [self._close_watch, self._say_goodbye]
        self._guard = await loop.run_in_executor(None, GuardProcess, self._home)
        self._closers.append(self._close_guard)
        await self._writer.write(self._begin)
        passes = Passes()
        self._upstreams = Upstreams(self._config.upstreams, self._config.models)
        self._closers.append(self._upstreams.close)
        self._gate = self._make_gate(passes)
        await self._gate.start()
        self._closers.append(self._gate.close)
        self._home.work.joinpath("home").mkdir(mode=0o700, parents=True, exist_ok=True)
        register = Register(
            config=self._config,
            tasks=self._tasks,
            runner=self._me.id,
            redactor=self._redact,
            may_claim=self._may_claim,
            clock=self._clock,
            rng=self._rng,
        )
        self._pool = Pool(
            home=self._home,
            config=self._config,
            register=register,
            writer=self._writer,
            passes=passes,
            gate_url=self._gate.url,
            redactor=self._redact,
            guard=self._guard.tell,
            may_claim=self._may_claim,
            clock=self._clock,
        )
        self._closers.append(self._pool.close)
        self._stance = Stance(
            switch=self._switch, pool=self._pool, grace_ms=self._config.runner.stop_grace_ms, tell=self._tell_state
        )
        self._dealer = Dealer(
            self._tasks,
            writer=self._writer,
            max_attempts=self._config.retry.max_attempts,
            added=self._pool.pump,
            clock=self._clock,
        )
        self._upkeep = upkeep.Upkeep(
            writer=self._writer,
            config=self._config,
            database=self._home.db,
            outputs=self._home.attempts,
            clock=self._clock,
        )
        self._heart = HeartbeatFile(self._home.heartbeat)
        self._closers.append(self._close_heart)
        self._fifo = _open_fifo(self._home.fifo)
        loop.add_reader(self._fifo, self._poked)
        self._closers.append(self._close_fifo)
        park = f"afk-runner kill --home {shlex.quote(str(self._home.root))}"
        self._remark(
            f"afk-runner {self._me.version} works on {self._home.root} (pid {self._me.pid}, "
            f"{plural(self._config.runner.workers, 'worker')}); park it with `{park}`"
        )

    def _make_gate(self, passes: Passes) -> Gate:
        book = Book(
            writer=self._writer,
            price_list=PriceList(self._config.prices),
            policy=policy_of(self._config),
            outside_stop=self._switch.outside,
            any_stop=lambda: self._switch.any(self._watch.reader),
            clock=self._clock,
            rng=self._rng,
            redact=self._redact,
        )
        return Gate(
            calls=Calls(book=book, upstreams=self._upstreams),
            counts=Counts(book=book, upstreams=self._upstreams),
            jobs=JobApi(
                writer=self._writer,
                tasks=self._tasks,
                max_attempts=self._config.retry.max_attempts,
                redactor=self._redact,
                clock=self._clock,
            ),
            passes=passes,
            models=tuple(
                sorted(
                    {task.model for task in self._tasks.values() if task.model}
                    | {model for model in self._config.models if not model.endswith("*")}
                )
            ),
        )

    def _begin(self, db: sqlite3.Connection) -> None:
        now = self._clock.now()
        budget = self._config.budget
        irreversible = {name for name, task in self._tasks.items() if task.irreversible}
        lost = upkeep.take_back(db, runner=self._me.id, now=now, irreversible=irreversible)
        of_tasks = sorted((task.name, task.daily_usd) for task in self._tasks.values() if task.daily_usd is not None)
        limits = policy_of(self._config).limits
        caps = repr((budget, of_tasks, sorted((name, repr(limit)) for name, limit in limits.items())))
        if controls.settings(db).get("caps") != caps:  # who raises a cap and restarts wants the parked jobs to run
            rate_turns.clear(db)
            for gate in (*CAP_GATES, *(f"rate:{name}" for name in self._config.upstreams)):
                jobs.wake(db, gate=gate, now=now, limit=-1)
        jobs.wake(db, gate=CONFINE_GATE, now=now, limit=-1)  # the machine may have been mended
        known_again(db, self._tasks, now=now)
        controls.put_settings(
            db,
            {
                "timezone": self._config.zone.key,
                **spending.told(budget, self._tasks),
                "caps": caps,
                "rate_window_ms": str(self._config.breaker.rate_window_ms),
                "workers": str(self._config.runner.workers),
                "stop_env": "1" if self._switch.by_environment else "0",
            },
            now=now,
        )
        schedule.declare(db, self._tasks, max_attempts=self._config.retry.max_attempts, now=now)
        found = f", {plural(lost, 'job')} taken back from a runner that vanished" if lost else ""
        events.record(
            db, now=now, level=events.INFO, event="runner.start", text=f"runner {self._me.version} started{found}"
        )

    async def _work(self) -> None:
        await self._dealer.deal_all()
        self._stance.move(RunState.RUNNING, None)
        self._stance.obey(ending=False)
        self._pool.start()
        if not self._once:
            self._dealer.start()
        last_beat = last_upkeep = time.monotonic()
        drift = self._drift()
        while not self._asked.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._asked.wait(), TICK_S)
            self._tick()
            now = time.monotonic()
            if abs(self._drift() - drift) > JUMP_MS:
                jumped = self._drift() - drift
                drift = self._drift()
                self._spawn(self._jumped(jumped))
            if now - last_beat >= BEAT_S:
                last_beat = now
                self._spawn(self._beat())
            if now - last_upkeep >= UPKEEP_S:
                last_upkeep = now
                self._spawn(self._upkeep_round())
            if self._once and (self._pool.idle.is_set() or self._switch.is_set) and not self._pool.running:
                break
        if self._once and self._switch.is_set and not self._asked.is_set():
            self._remark(f"nothing more is started: this home is stopped by {self._stopped_by()}")
        await self._drain()

    def _stopped_by(self) -> str:
        return self._switch.outside() or self._switch.row.reason or self._switch.fault or "the control row"

    async def _drain(self) -> None:
        """Ends: no new work, attempts in progress get the grace, then they are cut and go back unburnt."""
        self._dealer.stop()
        self._stance.move(RunState.DRAINING, "asked to end")
        deadline = time.monotonic() + self._config.runner.stop_grace_ms / 1000
        while self._pool.running and time.monotonic() < deadline and self._signals < 2:
            self._tick()
            await asyncio.sleep(0.05)
        self._pool.cut_all(Cut.SHUTDOWN, at_once=self._signals >= 2)
        deadline = time.monotonic() + CLOSE_S
        while self._pool.running and time.monotonic() < deadline:
            self._tick()
            await asyncio.sleep(0.02)

    async def _close(self) -> None:
        """Undo what was opened, the last first. A step that fails or hangs keeps none of the others from its turn."""
        deadline = time.monotonic() + CLOSE_S
        while self._closers:
            step = self._closers.pop()
            try:
                await asyncio.wait_for(step(), max(0.5, deadline - time.monotonic()))
            except TimeoutError:
                self._remark(f"gave up on {step.__qualname__} while closing")
            except Exception as error:
                self._remark(f"while closing, {step.__qualname__}: {error}")

    async def _close_heart(self) -> None:
        self._heart.close()

    async def _close_fifo(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fifo)

    async def _close_guard(self) -> None:
        self._guard.close()

    async def _say_goodbye(self) -> None:
        await self._writer.write(self._leave)

    async def _close_watch(self) -> None:
        self._watch.copy_events()
        self._watch.close()
        self._log.close()

    def _leave(self, db: sqlite3.Connection) -> None:
        now = self._clock.now()
        how = "signal" if self._signals else "nothing left to do" if self._once else "fault"
        runners.leave(db, self._me.id, ended=how, now=now)
        events.record(db, now=now, level=events.INFO, event="runner.end", text=f"runner ended: {how}")

    def _signalled(self) -> None:
        self._signals += 1
        self._asked.set()
        if self._signals >= 2 and hasattr(self, "_pool"):
            self._pool.cut_all(Cut.SHUTDOWN, at_once=True)

    # --- the tick -------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        """What must be noticed soon, four times a second and soon after a poke: cheap when nothing changed."""
        self._ticked_at = time.monotonic()
        if self._later_tick is not None:
            self._later_tick.cancel()
            self._later_tick = None
        self._switch.look()
        self._pool.look()
        self._look_at_guard()
        self._dealer.look()
        try:
            if self._watch.changed():
                self._changed()
            self._watch.looked()
            self._switch.can_read()
        except (sqlite3.Error, StoreError) as error:
            if self._watch.blind(error):
                self._distrust("read", error)
        self._stance.obey(ending=self._asked.is_set())

    def _distrust(self, what: str, error: Exception) -> None:
        """A database that cannot be used counts as a stop until it can be again."""
        if self._switch.distrust(what, str(error)):
            self._remark(f"parked, the database cannot be {what}: {error}; goes on by itself once it can be")

    def _look_at_guard(self) -> None:
        now = time.monotonic()
        if now < self._guard_again_at:
            return
        try:
            if self._guard.look():
                self._log.say(events.WARN, "guard.restarted", "the guard process had ended; another one was started")
        except (RunnerError, OSError) as error:
            self._guard_again_at = now + 30
            self._remark(f"the guard process had ended and cannot be started again: {error}")

    def _changed(self) -> None:
        reader = self._watch.reader
        self._switch.read(reader)
        self._watch.copy_events()
        if self._pool.running:
            asked = jobs.cancel_requests(reader, runner=self._me.id)
            if asked:
                self._pool.cut_jobs(asked)
        self._pool.pump()

    def _poked(self) -> None:
        """Somebody committed: work for an idle worker starts now, the rest is looked at no more often than needed."""
        with suppress(OSError):
            os.read(self._fifo, 4096)
        wait = self._ticked_at + POKES_S - time.monotonic()
        if wait <= 0:
            self._tick()
            return
        self._pool.pump()
        if self._later_tick is None:
            self._later_tick = asyncio.get_running_loop().call_later(wait, self._tick)

    async def _beat(self) -> None:
        self._heart.beat(fault=self._switch.fault)
        until = UnixMs(self._clock.now() + LEASE_MS)
        try:
            await self._writer.write(lambda db: self._beat_in(db, until))
        except StoreError as error:
            now = time.monotonic()
            if self._unwritable_since is None:
                self._unwritable_since = now
            elif now - self._unwritable_since > UNREADABLE_S:
                self._distrust("written", error)
            return
        self._unwritable_since = None
        self._switch.can_write()

    def _beat_in(self, db: sqlite3.Connection, until: UnixMs) -> None:
        runners.beat(db, self._me.id, now=self._clock.now())
        if self._pool.running:
            jobs.renew(db, runner=self._me.id, until=until)

    async def _upkeep_round(self) -> None:
        with suppress(StoreError):
            await self._upkeep.round(idle=not self._pool.running)

    def _drift(self) -> int:
        return self._clock.now() - int(time.monotonic() * 1000)

    async def _jumped(self, by_ms: int) -> None:
        """The machine slept or its clock was set: timers ran on another clock."""
        await self._dealer.wake()
        text = f"the clock jumped by {'-' if by_ms < 0 else ''}{duration(abs(by_ms))}: a sleep, or it was set"
        with suppress(StoreError):
            await self._writer.write(
                lambda db: events.record(db, now=self._clock.now(), level=events.WARN, event="clock.jump", text=text)
            )

    # --- what others ask and hear ---------------------------------------------------------------------------------

    def _may_claim(self) -> bool:
        """Whether anything may start, as far as can be told without the database. Any thread may ask."""
        return not self._asked.is_set() and self._switch.outside() is None

    def _tell_state(self, state: RunState, reason: str | None, seq: int) -> None:
        async def tell() -> None:
            with suppress(StoreError):  # what is parked for want of a database cannot say so in it
                await self._writer.write(
                    lambda db: runners.move(
                        db, self._me.id, state=state, reason=reason, stop_seq=seq, now=self._clock.now()
                    )
                )

        self._spawn(tell())

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks_of_loop.add(task)
        task.add_done_callback(self._tasks_of_loop.discard)

    def _remark(self, text: str) -> None:
        self._say(text)
        if hasattr(self, "_log"):
            self._log.say(events.INFO, "runner.remark", text)


def _open_fifo(path: Path) -> int:
    """The pipe by which other processes wake us. Read-write, so that it never reports an end of file."""
    with suppress(FileExistsError):
        os.mkfifo(path, 0o600)
    if not stat.S_ISFIFO(os.lstat(path).st_mode):
        raise RunnerError(f"{path} is in the way: it must be a pipe of ours; move it away")
    return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
