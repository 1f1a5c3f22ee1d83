"""The books of the gate: what is held, settled or let stand for a call, written through the runner's one writer."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from runner.errors import StoreError
from runner.gate import admission, brakes, ledger, rateheaders, rates
from runner.gate.admission import Refusal
from runner.gate.badrequests import BadRequests
from runner.gate.call import Call, Policy
from runner.gate.passes import Pass
from runner.gate.prices import PriceList
from runner.gate.rates import Price
from runner.gate.usage import Usage, same_model
from runner.gate.verdict import Verdict, held
from runner.store import events, tool_calls
from runner.store.writer import Writer
from runner.units import Clock, MicroUsd, UnixMs

_FAULTS = (StoreError, sqlite3.Error, OverflowError)


AGAIN_S = 1.0
TRIES_AGAIN = 60
"""How often an end that could not be written down is tried again, `AGAIN_S` apart."""


class Barred(Exception):
    """The call must not leave. Nothing was sent."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class Book:
    """A hold is durable when its method returns, or was not made; an end that fails is tried again behind the call."""

    def __init__(
        self,
        *,
        writer: Writer,
        price_list: PriceList,
        policy: Policy,
        outside_stop: Callable[[], str | None],
        any_stop: Callable[[], str | None],
        clock: Clock,
        rng: random.Random,
        redact: Callable[[str], str] = str,
    ) -> None:
        """`outside_stop` looks for a stop outside the database: its reason, or None. Any thread asks it.

        `any_stop` looks at all there is, the database too; the loop asks it right before bytes leave.
        `redact` takes secrets out of what an upstream said, before it is written down.
        """
        self._writer = writer
        self._prices = price_list
        self._policy = policy
        self._outside_stop = outside_stop
        self._any_stop = any_stop
        self._clock = clock
        self._rng = rng
        self._redact = redact
        self._bad = BadRequests(policy.cool_down.failures)
        self._late: set[asyncio.Task[None]] = set()
        """Ends that are tried again; the loop itself keeps only weak references."""

    def now(self) -> UnixMs:
        """Wall time."""
        return self._clock.now()

    def price(self, model: str, *, local: bool) -> Price | None:
        """What a model costs now; None: nobody knows."""
        return self._prices.lookup(model, local=local, now=self._clock.now())

    async def hold(self, call: Call) -> int | Refusal:
        """Admit the call and hold its bound: the charge's id, or why not. A ledger that fails refuses."""
        if (refusal := self._bad.refusal(call)) is not None:
            return refusal
        try:
            return await self._writer.write(
                lambda db: ledger.admit(db, call, self._policy, stop_reason=self._outside_stop(), now=self._clock.now())
            )
        except _FAULTS as error:
            return admission.ledger_unusable(str(error), now=self._clock.now())

    async def look(self, call: Call) -> Refusal | None:
        """Why a question that costs nothing may not go. Nothing is held for it."""
        try:
            return await self._writer.write(
                lambda db: ledger.look(db, call, self._policy, stop_reason=self._outside_stop(), now=self._clock.now())
            )
        except _FAULTS as error:
            return admission.ledger_unusable(str(error), now=self._clock.now())

    def last_look(self, granted: Pass) -> None:
        """Raises Barred when the call must not leave after all: a stop or the end of its attempt came in between."""
        if granted.revoked:
            raise Barred(admission.attempt_over())
        reason = self._any_stop()
        if reason is not None:
            raise Barred(admission.stopped(reason))

    def refine(self, charge: int, call: Call, hold: MicroUsd) -> None:
        """Lower the hold of a call in flight. Nobody waits for it: where it fails, the larger hold stands."""
        if hold < call.hold:
            self._writer.submit(lambda db: ledger.refine(db, charge, hold=hold))

    def heard(self, call: Call, headers: Mapping[str, str], status: int) -> None:
        """Take in what the head of an answer says of the upstream's limits. Nobody waits for it.

        Written in the order of all writes, so the next call of whoever is answered finds it.
        """
        self._bad.heard(call, status)
        told = rateheaders.exhausted(headers, now=self._clock.now())
        if told is None:
            return
        reason = f"its headers say that no {told.what} are left"
        self._writer.submit(lambda db: brakes.pause(db, call, until=told.until, reason=reason, now=self._clock.now()))

    async def count_tools(self, granted: Pass, asked: int) -> None:
        """Count what a model asked for, where the job has a limit on it; durable before the client can act on it."""
        if granted.max_tool_calls is None or not asked:
            return
        granted.tool_calls += asked
        await self._write(lambda db: tool_calls.add(db, granted.job_id, asked))

    async def settle(self, charge: int, call: Call, *, price: Price, used: Usage, answer: str | None = None) -> None:
        """Write the true cost down, by the prices of all models that worked on it.

        `answer`: to be kept with it. A cost that is written late keeps none: by then it may be recorded.
        """
        others = {}
        for other in used.other_models:
            known = self.price(other, local=price.free)
            if known is None and same_model(other, call.model):
                continue  # the same one with its date, and no other price is known for that
            if known is None:
                verdict = held(f"the answer names model {other[:80]!r}, whose price is unknown")
                await self.conclude(charge, call, verdict)
                return
            others[other] = known
        cost = rates.cost(price, used, others)
        if cost is None:
            await self.conclude(charge, call, held("the answer ran at a speed whose price is unknown"))
            return

        def settle(db: sqlite3.Connection, answer: str | None = None) -> None:
            ledger.settle(db, charge, call, self._policy, cost=cost, usage=used, now=self._clock.now(), answer=answer)

        await self._write(lambda db: settle(db, None if answer is None else self._redact(answer)), late=settle)

    def found_again(self, granted: Pass) -> None:
        """Tell that an answer of an earlier attempt was given once more. Nobody waits for it."""
        self._writer.submit(
            lambda db: events.record(
                db,
                now=self._clock.now(),
                level=events.INFO,
                event="call.kept",
                text="the answer of an earlier attempt, which was paid for and not recorded, was given again",
                task=granted.task,
                job=granted.job,
                attempt=granted.n,
            )
        )

    async def conclude(self, charge: int, call: Call, verdict: Verdict) -> None:
        """Write down what an answer without complete usage means."""
        verdict = replace(verdict, note=self._redact(verdict.note))
        await self._write(
            lambda db: ledger.conclude(db, charge, call, self._policy, verdict, now=self._clock.now(), rng=self._rng)
        )

    async def _write(self, act: Callable[[Any], None], *, late: Callable[[Any], None] | None = None) -> None:
        """`late`: what of it is still to be written after the client may have had its answer; None: all."""
        try:
            await self._writer.write(act)
        except _FAULTS:  # the hold is in the ledger and goes on counting: never less than the truth
            task = asyncio.ensure_future(self._write_late(late or act))
            self._late.add(task)
            task.add_done_callback(self._late.discard)

    async def _write_late(self, act: Callable[[Any], None]) -> None:
        for _ in range(TRIES_AGAIN):
            await asyncio.sleep(AGAIN_S)
            with suppress(*_FAULTS):
                await self._writer.write(act)
                return
