"""One model call through the gate: bound, hold, send, pass the answer on, settle."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import httpx

from runner.errors import StoreError
from runner.gate import admission, ledger, rates, usage
from runner.gate.admission import Refusal
from runner.gate.estimate import Unbounded, bound
from runner.gate.http import BadRequest, Request, Responder, json_object
from runner.gate.ledger import Call, Policy
from runner.gate.passes import Pass
from runner.gate.prices import PriceList
from runner.gate.rates import Price
from runner.gate.upstreams import Answer, Outgoing, Upstreams
from runner.gate.usage import StreamUsage, Usage
from runner.gate.verdict import Blow, Money, Verdict, of_status, of_stream_error, of_transport
from runner.store.writer import Writer
from runner.units import Clock, UnixMs

DRAIN_S = 30.0
"""How long an answer is read on for its usage after the client left."""
MAX_MODEL_CHARS = 200
MAX_ANSWER_BYTES = 64 * 1024 * 1024
_NO_RETRY = {"x-should-retry": "false"}
_LEDGER_FAULTS = (StoreError, sqlite3.Error, OverflowError)
_PASSED_DOWN = ("content-type", "request-id", "retry-after", "retry-after-ms", "x-should-retry")
_PASSED_DOWN_PREFIX = "anthropic-ratelimit-"


class Messages:
    """Serves `POST /v1/messages`."""

    def __init__(
        self,
        *,
        writer: Writer,
        upstreams: Upstreams,
        price_list: PriceList,
        policy: Policy,
        outside_stop: Callable[[], str | None],
        any_stop: Callable[[], str | None],
        clock: Clock,
        rng: random.Random,
    ) -> None:
        """`outside_stop` looks for a stop outside the database: its reason, or None. Any thread asks it.

        `any_stop` looks at all there is, the database too; the loop asks it right before bytes leave.
        """
        self._writer = writer
        self.upstreams = upstreams
        self._prices = price_list
        self._policy = policy
        self._outside_stop = outside_stop
        self._any_stop = any_stop
        self._clock = clock
        self._rng = rng

    async def serve(self, request: Request, responder: Responder, granted: Pass) -> None:
        """One call of one attempt."""
        body = json_object(request.body)
        model = body.get("model")
        if not isinstance(model, str) or not 0 < len(model) <= MAX_MODEL_CHARS or not model.isprintable():
            raise BadRequest(400, "model must be the id of a model")
        flight = await self._admit(request, responder, granted, model, body)
        if isinstance(flight, Refusal):
            granted.refused(flight)
            await responder.send(flight.status, flight.body(), _NO_RETRY)
            return
        task = asyncio.ensure_future(flight.run())
        granted.calls.add(task)
        task.add_done_callback(granted.calls.discard)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.cancelled():
                raise

    async def _admit(
        self, request: Request, responder: Responder, granted: Pass, model: str, body: dict[str, Any]
    ) -> _Flight | Refusal:
        """Bound the call, make it ready, and only then hold money for it."""
        upstream = self.upstreams.serving(model)
        if upstream is None:
            return admission.unknown_model(model, "no line of [models] in afk.toml leads it to an upstream")
        price = self._prices.lookup(model, local=upstream.local, now=self._clock.now())
        if price is None:
            return admission.unknown_model(model, f'nobody knows its price; add [prices."{model}"] to afk.toml')
        limit = bound(body, price=price, max_output_tokens=granted.max_output_tokens)
        if isinstance(limit, Unbounded):
            return admission.unbounded(limit.reason)
        outgoing = self.upstreams.prepare(upstream, limit.body, headers=request.headers, query=request.query)
        call = granted.call(upstream=upstream.name, model=model, hold=limit.hold)
        try:
            held = await self._writer.write(
                lambda db: ledger.admit(db, call, self._policy, stop_reason=self._outside_stop(), now=self._clock.now())
            )
        except _LEDGER_FAULTS as error:
            return admission.ledger_unusable(str(error), now=self._clock.now())
        if isinstance(held, Refusal):
            return held
        return _Flight(
            room=self,
            charge=held,
            call=call,
            price=price,
            granted=granted,
            responder=responder,
            outgoing=outgoing,
        )

    def last_look(self, granted: Pass) -> None:
        """Raises Barred when the call must not leave after all: a stop or the end of its attempt came in between."""
        if granted.revoked:
            raise Barred(admission.attempt_over())
        reason = self._any_stop()
        if reason is not None:
            raise Barred(admission.stopped(reason))

    async def settle(self, charge: int, call: Call, *, price: Price, used: Usage) -> None:
        """Write the true cost down, by the dearest of the models that worked on it."""
        several = [price]
        for other in used.other_models:
            known = self._prices.lookup(other, local=price.free, now=self._clock.now())
            if known is None:
                await self.conclude(
                    charge, call, _held(f"the answer names model {other[:80]!r}, whose price is unknown")
                )
                return
            several.append(known)
        cost = rates.cost(rates.dearest(several), used)
        await self._write(lambda db: ledger.settle(db, charge, call, cost=cost, usage=used, now=self._clock.now()))

    async def conclude(self, charge: int, call: Call, verdict: Verdict) -> None:
        """Write down what an answer without complete usage means."""
        await self._write(
            lambda db: ledger.conclude(
                db,
                charge,
                call,
                verdict,
                cool_down=self._policy.cool_down,
                now=self._clock.now(),
                rng=self._rng,
            )
        )

    async def _write(self, act: Callable[[Any], None]) -> None:
        try:
            await self._writer.write(act)
        except _LEDGER_FAULTS:
            return  # the hold is in the ledger and goes on counting: never less than the truth

    def now(self) -> UnixMs:
        """Wall time."""
        return self._clock.now()


class Barred(Exception):
    """The call must not leave. Nothing was sent."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class _Flight:
    """A call that was admitted: from here on its charge ends exactly once, whatever happens."""

    def __init__(
        self,
        *,
        room: Messages,
        charge: int,
        call: Call,
        price: Price,
        granted: Pass,
        responder: Responder,
        outgoing: Outgoing,
    ) -> None:
        self._room = room
        self._charge = charge
        self._call = call
        self._price = price
        self._granted = granted
        self._responder = responder
        self._outgoing = outgoing

    async def run(self) -> None:
        """Send, pass on, settle. Cancelling it cuts the call, and its hold stands."""
        try:
            async with asyncio.timeout(None) as limit:
                self._responder.when_left(lambda: _bring_forward(limit))
                await self._fly()
        except asyncio.CancelledError:
            # Nobody waits for this one: the write goes on by itself while the call is torn down.
            await asyncio.shield(self._end(self._cut_short()))
            await self._say(503, admission.attempt_over().body(), _NO_RETRY)
            raise
        except Barred as barred:
            await self._end(_released(f"not sent: {barred.refusal.code}"))
            self._granted.refused(barred.refusal)
            await self._say(barred.refusal.status, barred.refusal.body(), _NO_RETRY)
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            if limit.expired():
                await self._end(_held(f"the client left and the answer did not end within {DRAIN_S:g}s"))
                return
            verdict = of_transport(error, sent=self._outgoing.sent)
            await self._end(verdict)
            await self._say(502, admission.error_body("api_error", f"{self._call.upstream}: {verdict.note}"))
        except Exception as error:  # ours, whatever it is: the money comes first, then whoever serves answers for it
            await self._end(_held(f"a fault of the gate: {type(error).__name__}"))
            raise

    def _cut_short(self) -> Verdict:
        if self._outgoing.sent:
            return _held("cut in flight, its cost is not known")
        return _released("cut before it was sent")

    async def _fly(self) -> None:
        async with self._room.upstreams.send(
            self._outgoing, last_look=lambda: self._room.last_look(self._granted)
        ) as answer:
            await self._pass_on(answer, streamed=self._outgoing.body.get("stream") is True)

    async def _pass_on(self, answer: Answer, *, streamed: bool) -> None:
        if not 200 <= answer.status < 300:
            await self._failed(answer)
        elif streamed and "text/event-stream" in answer.headers.get("content-type", ""):
            await self._stream(answer)
        else:
            await self._whole(answer)

    async def _failed(self, answer: Answer) -> None:
        body = await _read(answer)
        verdict = of_status(answer.status, body, _words(answer.headers), now=self._room.now())
        await self._end(verdict)
        wait = _wait_of(verdict, self._call, now=self._room.now())
        if wait is not None:
            self._granted.refused(wait)
        self._granted.wait_until = verdict.wait_until
        headers = _down(answer.headers)
        if verdict.wait_until is not None or verdict.blow is Blow.TRIP:
            headers["x-should-retry"] = "false"  # the wait is a row in the queue, not a client asleep
        status = answer.status if 400 <= answer.status <= 599 else 502  # a redirect is not followed with a key
        key = self._outgoing.upstream.key
        if key:
            body = body.replace(key.encode(), b"[redacted]")  # an upstream that quotes what it refuses
        await self._say(status, body, headers)

    async def _whole(self, answer: Answer) -> None:
        body = await _read(answer)
        used = None
        with suppress(ValueError, RecursionError):  # not JSON: it told no usage
            used = usage.from_message(json.loads(body), self._call.model)
        if used is None:
            self._granted.answered()
            await self._end(_held("the answer told no complete usage"))
        else:
            await self._settle(used)
        await self._say(answer.status, body, _down(answer.headers))

    async def _stream(self, answer: Answer) -> None:
        meter, settled = StreamUsage(self._call.model), False
        await self._responder.begin(answer.status, _down(answer.headers))
        async for chunk in answer.chunks():
            meter.feed(chunk)
            used = None if settled else meter.complete()
            if used is not None:  # before the client sees the end, the cost is durable
                await self._settle(used)
                settled = True
            await self._responder.chunk(chunk)
        if not settled:
            error = meter.error_type
            await self._end(of_stream_error(error) if error else _held("the stream ended without complete usage"))
        await self._responder.end()

    async def _settle(self, used: Usage) -> None:
        self._granted.answered()
        await self._room.settle(self._charge, self._call, price=self._price, used=used)

    async def _end(self, verdict: Verdict) -> None:
        await self._room.conclude(self._charge, self._call, verdict)

    async def _say(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        if not self._responder.begun:
            await self._responder.send(status, body, headers)


def _wait_of(verdict: Verdict, call: Call, *, now: UnixMs) -> Refusal | None:
    """What the job waits for after an answer that names a time, or that waiting for a person alone can mend."""
    if verdict.blow is Blow.TRIP:
        gate, fact, lifts_at = (
            f"breaker:{call.breaker}",
            f"the breaker of {call.breaker} tripped ({verdict.note})",
            None,
        )
    elif verdict.wait_until is not None and verdict.blow is Blow.NEUTRAL:
        gate, fact = f"rate:{call.upstream}", f"{call.upstream} limits its rate ({verdict.note})"
        lifts_at = max(verdict.wait_until, UnixMs(now + 1_000))
    else:
        return None
    return Refusal(
        code="afk_upstream",
        status=503,
        kind="api_error",
        message=fact,
        gate=gate,
        fact=fact,
        lifts_at=UnixMs(lifts_at) if lifts_at is not None else None,
    )


def _held(note: str) -> Verdict:
    return Verdict(money=Money.STAND, blow=Blow.NEUTRAL, note=note)


def _released(note: str) -> Verdict:
    return Verdict(money=Money.RELEASE, blow=Blow.NEUTRAL, note=note)


def _bring_forward(limit: asyncio.Timeout) -> None:
    with suppress(RuntimeError):  # the call is over already
        limit.reschedule(asyncio.get_running_loop().time() + DRAIN_S)


async def _read(answer: Answer) -> bytes:
    body = bytearray()
    async for chunk in answer.chunks():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise httpx.DecodingError("the answer is larger than 64 MB")
    return bytes(body)


def _words(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _down(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in _words(headers).items()
        if name in _PASSED_DOWN or name.startswith(_PASSED_DOWN_PREFIX)
    }
