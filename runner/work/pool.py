"""The worker pool, runner side: claims jobs for idle workers, hears how attempts end, writes both in one commit.

A busy worker's finish carries its next claim. Retries are rows with a time; nothing here sleeps.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from runner.alarm import Alarm
from runner.config import Config, TaskKind
from runner.errors import StoreError
from runner.gate.passes import Passes
from runner.home import Home
from runner.redact import Redactor
from runner.store import events
from runner.store.writer import Writer
from runner.units import Clock
from runner.work.attempt import Live, with_output
from runner.work.child import Child
from runner.work.outcome import Cut, Ending
from runner.work.pace import Pace
from runner.work.register import Claimed, Register

RESPAWN_S = (0.05, 0.5, 2.0, 10.0, 30.0)
"""Waits before a worker is replaced that died before it was ready, by how often that happened in a row."""
LEDGER_RETRY_S = 1.0
"""Between tries to write an outcome down while the database cannot be written."""


@dataclass(slots=True, eq=False)
class _Seat:
    """A place for one worker."""

    child: Child | None = None
    live: Live | None = None
    claiming: bool = False
    failures: int = 0
    """Workers that died in a row before they were ready."""
    respawn: asyncio.TimerHandle | None = None
    settling: bool = False
    """The outcome of its last attempt is being written."""


class Pool:
    """The seats and what sits in them."""

    def __init__(
        self,
        *,
        home: Home,
        config: Config,
        register: Register,
        writer: Writer,
        passes: Passes,
        gate_url: str,
        redactor: Redactor,
        guard: Callable[[str], None],
        may_claim: Callable[[], bool],
        clock: Clock,
    ) -> None:
        """`may_claim` is asked before each claim, as it is inside it; it looks for a stop outside the database."""
        self._home = home
        self._config = config
        self._register = register
        self._writer = writer
        self._passes = passes
        self._gate_url = gate_url
        self._redact = redactor
        self._guard = guard
        self._may_claim = may_claim
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._seats = [_Seat() for _ in range(config.runner.workers)]
        self._claims = Alarm(self.pump)
        """When a job comes due that was not at the last claim, or the queue was as good as dry for long enough."""
        self._limits = Alarm(self._look_at_limits)
        """When an attempt has had its time."""
        self._pace = Pace()
        self._closing = False
        self.idle = asyncio.Event()
        """Set while nothing runs and the last claim found that nothing is due; of use to `--once`."""
        self._tasks_of_loop: set[asyncio.Task[None]] = set()  # the loop itself keeps only weak references

    # --- seats ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start every worker."""
        for seat in self._seats:
            self._fill(seat)

    def _fill(self, seat: _Seat) -> None:
        seat.respawn = None
        if self._closing or seat.child is not None:
            return
        try:
            seat.child = Child(
                home=self._home,
                guard=self._guard,
                redactor=self._redact,
                heard=lambda child, answer: self._heard(seat, child, answer),
            )
        except OSError as error:
            self._refill(seat, f"a worker could not be started: {error}")

    def _refill(self, seat: _Seat, why: str | None) -> None:
        if self._closing:
            return
        if why is None:
            self._fill(seat)
            return
        wait = RESPAWN_S[min(seat.failures, len(RESPAWN_S) - 1)]
        seat.failures += 1
        self._say(events.ERROR, "worker.failed", f"{why}; the next one starts in {wait:g}s")
        seat.respawn = self._loop.call_later(wait, self._fill, seat)

    def look(self) -> None:
        """Notice workers that ended without a word; called with every tick."""
        for seat in self._seats:
            if seat.child is not None:
                seat.child.look()

    @property
    def running(self) -> int:
        """Attempts in progress, those whose outcome is still being written included."""
        return sum(1 for seat in self._seats if seat.live is not None or seat.settling)

    def grow_old(self) -> None:
        """Forget that earlier workers failed; called when a person resumes."""
        for seat in self._seats:
            seat.failures = 0

    # --- claiming -------------------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Claim for every idle worker. Cheap when there is none or nothing may be claimed."""
        if self._closing:
            return
        claim_at = self._pace.claim_at
        if claim_at is not None:
            self._claims.at(claim_at)
            return
        if not self._may_claim():
            return
        seats = [
            seat
            for seat in self._seats
            if seat.child is not None
            and seat.child.ready
            and seat.live is None
            and not seat.claiming
            and not seat.settling
        ]
        if seats:
            for seat in seats:
                seat.claiming = True
            self._writer.then(lambda db: self._register.claim(db, len(seats)), partial(self._claimed, seats))

    def _claimed(self, seats: list[_Seat], claimed: Claimed | None, error: BaseException | None) -> None:
        for seat in seats:
            seat.claiming = False
        if claimed is None or error is not None:
            # Nothing was claimed. What kept it from being so is told by whoever else needs the database.
            self._later(self._clock.now() + int(LEDGER_RETRY_S * 1000))
            return
        self._take(seats, claimed)

    def _take(self, seats: list[_Seat], claimed: Claimed) -> None:
        for seat, live in zip(seats, claimed.found, strict=False):
            self._seat(seat, live)
        self._later(claimed.again_at)
        if claimed.exhausted:
            self._pace.dried()
        if claimed.exhausted and not self.running and not any(seat.claiming for seat in self._seats):
            self.idle.set()
        else:
            self.idle.clear()

    def _later(self, at: int | None) -> None:
        """Claim again at a time."""
        if at is not None:
            delay = max(0.0, (at - self._clock.now()) / 1000)
            self._claims.at(self._loop.time() + min(delay, 60.0))  # the wall clock may jump: look again in a minute

    # --- attempts -------------------------------------------------------------------------------------------------

    def _seat(self, seat: _Seat, live: Live) -> None:
        """Give a claimed job to a worker."""
        seat.live = live
        self.idle.clear()
        child = seat.child
        if child is None or self._closing:
            self._over(seat, Ending(outcome="died", cut=Cut.SHUTDOWN if self._closing else Cut.UNSTARTED))
            return
        self._passes.issue(live.granted)
        child.capture.begin(partial(self._home.attempt_file, live.job.id, live.job.starts))
        live.deadline = self._loop.time() + live.max_seconds_ms / 1000
        self._limits.at(live.deadline)
        self._pace.began(live)
        child.order(live.order(live.task, home=self._home, gate_url=self._gate_url))

    def _look_at_limits(self) -> None:
        now = self._loop.time()
        for seat in self._seats:
            if seat.live is not None and seat.live.cut is None:
                if seat.live.deadline <= now:
                    self._cut(seat, seat.live, Cut.TIMEOUT, at_once=False)
                else:
                    self._limits.at(seat.live.deadline)

    def _cut(self, seat: _Seat, live: Live, why: Cut, *, at_once: bool) -> None:
        if live.cut is None:
            live.cut = why
        self._passes.revoke(live.granted)
        if seat.child is not None:
            seat.child.end(at_once=at_once)

    def cut_all(self, why: Cut, *, at_once: bool) -> int:
        """End every attempt in progress, its worker with it; how many."""
        cut = 0
        for seat in self._seats:
            if seat.live is not None:
                self._cut(seat, seat.live, why, at_once=at_once)
                cut += 1
        return cut

    def cut_jobs(self, ids: list[int]) -> None:
        """End the attempts of jobs a person cancelled."""
        for seat in self._seats:
            if seat.live is not None and seat.live.job.id in ids and seat.live.cut is None:
                self._cut(seat, seat.live, Cut.CANCEL, at_once=False)

    def _heard(self, seat: _Seat, child: Child, answer: dict[str, Any] | None) -> None:
        """A worker said something, or is gone."""
        if answer is None:
            self._gone(seat, child)
        elif "ready" in answer:
            self.pump()
        elif seat.live is not None:
            seat.failures = 0
            child.jobs_done += 1
            if not answer.get("alone"):  # a thread that runs on must not meet the next attempt
                child.jobs_done = self._config.runner.recycle_after
            self._over(seat, seat.live.ending(answer, now=self._clock.now()))

    def _gone(self, seat: _Seat, child: Child) -> None:
        live = seat.live
        was_ready = child.ready or child.ending
        child.ready = False  # before the outcome is handed over: its transaction claims for a ready worker
        retired = child.jobs_done >= self._config.runner.recycle_after
        if live is not None:
            error = f"its worker died in the middle of it ({child.ended_by})"
            self._over(seat, Ending(outcome="died", error=error, cut=live.cut, refusal=live.granted.refusal))
        seat.child = None
        ended = None if was_ready or retired else f"a worker ended before it was ready ({child.ended_by})"
        self._refill(seat, ended)

    def _over(self, seat: _Seat, ending: Ending) -> None:
        """An attempt is over: write down what becomes of its job, and claim the next in the same commit."""
        live = seat.live
        if live is None:
            return
        seat.live = None
        self._passes.revoke(live.granted)
        tail = seat.child.capture.end() if seat.child is not None else None
        if ending.outcome == "done" and live.task.kind is TaskKind.PROMPT:
            ending = with_output(self._home, live, ending)

        def written(claimed: Claimed | None, error: BaseException | None) -> None:
            if claimed is None or error is not None:
                self._spawn(self._settle(seat, live, ending, tail, error))
            else:
                self._settled(seat, claimed)

        seat.settling = True
        within_s = self._pace.ended(live, (other.live for other in self._seats), commit_s=self._writer.took_s)
        self._writer.then(lambda db: self._close_and_claim(db, seat, live, ending, tail), written, within_s=within_s)

    async def _settle(
        self, seat: _Seat, live: Live, ending: Ending, tail: str | None, error: BaseException | None
    ) -> None:
        """The outcome is only in memory. Nothing else may be started here until it is durable."""
        faults = 0
        while True:
            with_claim = isinstance(error, StoreError)
            if with_claim:
                await asyncio.sleep(LEDGER_RETRY_S)
            else:  # a fault of ours must not keep a seat and a job for ever
                faults += 1
                if faults > 1:  # it was not the claim that rides along
                    ending = Ending(outcome="dead", error=f"its outcome could not be written down: {error!r}"[:500])
                    await asyncio.sleep(LEDGER_RETRY_S)
            try:
                claimed = await self._writer.write(
                    lambda db: (
                        self._close_and_claim(db, seat, live, ending, tail)  # noqa: B023 - the ending as it is then
                        if with_claim  # noqa: B023
                        else self._close(db, live, ending, tail)  # noqa: B023
                    )
                )
            except Exception as again:
                error = again
            else:
                break
        self._settled(seat, claimed)

    def _settled(self, seat: _Seat, claimed: Claimed) -> None:
        seat.settling = False
        child = seat.child
        if child is not None and child.jobs_done >= self._config.runner.recycle_after and not claimed.found:
            child.retire()
        self._take([seat], claimed)

    def _close(self, db: sqlite3.Connection, live: Live, ending: Ending, tail: str | None) -> Claimed:
        self._register.close(db, live, ending, tail)
        return Claimed(again_at=self._clock.now())

    def _close_and_claim(
        self, db: sqlite3.Connection, seat: _Seat, live: Live, ending: Ending, tail: str | None
    ) -> Claimed:
        closed = self._close(db, live, ending, tail)
        child = seat.child
        ready = child is not None and child.ready and child.jobs_done < self._config.runner.recycle_after
        claimed = self._register.claim(db, 1) if ready and not self._closing else closed
        # The other seats may have been kept idle for a job that was to run without company.
        return replace(claimed, again_at=closed.again_at) if live.job.rescues else claimed

    # --- upkeep ---------------------------------------------------------------------------------------------------

    def _say(self, level: str, event: str, text: str) -> None:
        async def say() -> None:
            try:
                await self._writer.write(
                    lambda db: events.record(db, now=self._clock.now(), level=level, event=event, text=text)
                )
            except StoreError:
                return  # the worker is replaced all the same

        self._spawn(say())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks_of_loop.add(task)
        task.add_done_callback(self._tasks_of_loop.discard)

    async def close(self) -> None:
        """Let every worker go; attempts still in progress are cut and go back unburnt."""
        self._closing = True
        self.cut_all(Cut.SHUTDOWN, at_once=True)
        self._claims.stop()
        self._limits.stop()
        for seat in self._seats:
            if seat.respawn is not None:
                seat.respawn.cancel()
            if seat.child is not None:
                seat.child.end(at_once=True)
        while any(seat.child is not None or seat.settling or seat.claiming for seat in self._seats):
            await asyncio.sleep(0.01)
            self.look()
