"""One admitted call in the air: sent, its answer passed on as it comes, its charge ended."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

import httpx

from runner.gate import admission, estimate, toolcalls
from runner.gate.admission import Refusal
from runner.gate.answer import Answer, down, is_stream, read
from runner.gate.book import Barred, Book
from runner.gate.call import Call
from runner.gate.endpoints import Endpoint, Passer
from runner.gate.estimate import Bound
from runner.gate.http import NO_RETRY, Responder
from runner.gate.local import RemoteWatch, came_from_elsewhere
from runner.gate.message import message_in
from runner.gate.passes import Pass
from runner.gate.rates import Price
from runner.gate.toolcalls import StreamedCalls
from runner.gate.upstreams import OFFLINE, Outgoing, Upstreams
from runner.gate.usage import Usage
from runner.gate.verdict import (
    REMOTE,
    Blow,
    Verdict,
    held,
    of_status,
    of_stream_error,
    of_transport,
    released,
    unreadable,
)
from runner.redact import Passing
from runner.units import UnixMs

DRAIN_S = 30.0
"""How long an answer is read on for its usage after the client left."""
MOST_KEPT_BYTES = 1_000_000
"""Of an answer that is kept until it is recorded; a step takes no more."""
_PLAIN = frozenset({"", "identity", "gzip", "x-gzip", "deflate"})
"""Encodings that are undone while an answer is read; a vendor that was asked for none may use one all the same."""


class Flight:
    """A call that was admitted: from here on its charge ends exactly once, whatever happens."""

    def __init__(
        self,
        *,
        book: Book,
        upstreams: Upstreams,
        endpoint: Endpoint,
        charge: int,
        call: Call,
        price: Price,
        bound: Bound,
        granted: Pass,
        responder: Responder,
        outgoing: Outgoing,
        passer: Passer | None,
    ) -> None:
        self._book = book
        self._upstreams = upstreams
        self._endpoint = endpoint
        self._charge = charge
        self._call = call
        self._price = price
        self._bound = bound
        self._granted = granted
        self._responder = responder
        self._outgoing = outgoing
        self._passer = passer
        local = outgoing.upstream.local and outgoing.upstream is not OFFLINE
        self._watch = RemoteWatch() if local else None

    async def run(self) -> None:
        """Send, pass on, settle. Cancelling it cuts the call, and its hold stands."""
        try:
            async with asyncio.timeout(None) as limit:
                self._responder.when_left(lambda: _bring_forward(limit))
                await self._fly()
        except asyncio.CancelledError:
            await self._cut()
            raise
        except Barred as barred:
            await self._end(released(f"not sent: {barred.refusal.code}"))
            self._granted.refused(barred.refusal)
            await self._say(barred.refusal.status, barred.refusal.body(), barred.refusal.headers())
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            if limit.expired():
                await self._end(held(f"the client left and the answer did not end within {DRAIN_S:g}s"))
                return
            verdict = of_transport(error, sent=self._outgoing.sent)
            if self._upstreams.slept_over(self._outgoing):
                await self._slept(verdict)
            else:
                await self._end(verdict)
                await self._say_fault(verdict)
        except Exception as error:  # ours, whatever it is: the money comes first, then whoever serves answers for it
            await self._end(held(f"a fault of the gate: {type(error).__name__}"))
            raise

    async def told_cut(self) -> None:
        """What is left to do for a call that was cancelled, be it before its first step."""
        await self._cut()
        await self._say(503, admission.attempt_over().body(), NO_RETRY)

    async def _cut(self) -> None:
        # Shielded: the write goes on by itself while the call is torn down.
        sent = self._outgoing.sent
        verdict = held("cut in flight, its cost is not known") if sent else released("cut before it was sent")
        await asyncio.shield(self._end(verdict))

    async def _fly(self) -> None:
        async with self._upstreams.send(
            self._outgoing, last_look=lambda: self._book.last_look(self._granted)
        ) as answer:
            self._book.heard(self._call, answer.headers, answer.status)
            await self._pass_on(answer)

    async def _pass_on(self, answer: Answer) -> None:
        streamed = self._outgoing.body.get("stream") is True
        packing = answer.headers.get("content-encoding", "").strip().lower()
        if not 200 <= answer.status < 300:
            await self._failed(answer)
        elif packing not in _PLAIN:
            await self._unreadable(unreadable(f"it answered {answer.status} packed as {packing[:40]!r}, unasked"))
        elif streamed and is_stream(answer):
            await self._stream(answer)
        else:
            await self._whole(answer)

    async def _failed(self, answer: Answer) -> None:
        body = self._outgoing.without_key(await read(answer))
        verdict = of_status(
            answer.status,
            body,
            answer.headers,
            now=self._book.now(),
            hold_overloaded=self._outgoing.upstream.hold_overloaded,
        )
        await self._end(verdict)
        self._granted.turned_down = self._fault(verdict)
        if not 400 <= answer.status <= 599:
            await self._say_fault(verdict)  # a redirect above all: a key is not carried along
            return
        wait = _wait_of(verdict, self._call, now=self._book.now())
        if wait is not None:
            self._granted.refused(wait)
        self._granted.wait_until = verdict.wait_until
        headers = down(answer.headers)
        if verdict.wait_until is not None or verdict.blow is Blow.TRIP:
            headers["x-should-retry"] = "false"  # the wait is a row in the queue, not a client asleep
        await self._say(answer.status, body, headers)

    async def _whole(self, answer: Answer) -> None:
        body = self._outgoing.without_key(await read(answer))
        parsed: object = None
        with suppress(ValueError, RecursionError):
            parsed = json.loads(body)
        if self._granted.max_tool_calls is not None:
            await self._book.count_tools(self._granted, toolcalls.in_message(parsed))
        used = self._endpoint.whole(parsed, self._call.model)
        if used is None and is_stream(answer):  # nobody asked for one, but what it cost can be read from it
            meter = self._endpoint.meter(self._call.model)
            meter.feed(body)
            used = meter.complete()
        if self._watch is not None and (
            came_from_elsewhere(parsed) if isinstance(parsed, dict) else self._watch.sees(body)
        ):
            await self._end(REMOTE)
        elif used is not None:
            await self._settle(used, answer=self._to_keep(body))
        elif isinstance(parsed, dict):
            self._granted.answered()
            await self._end(held("the answer told no complete usage", blow=Blow.FAILURE))
        if isinstance(parsed, dict):
            self._granted.served += 1
            await self._say(answer.status, body, down(answer.headers))
        else:
            kind = answer.headers.get("content-type", "")[:60] or "no named type"
            await self._unreadable(unreadable(f"it answered {answer.status} with {len(body)} bytes of {kind}"))

    async def _unreadable(self, verdict: Verdict) -> None:
        await self._end(verdict)
        await self._say_fault(verdict)

    async def _stream(self, answer: Answer) -> None:
        meter, ended, refined = self._endpoint.meter(self._call.model), False, False
        tools = StreamedCalls() if self._granted.max_tool_calls is not None else None
        keyless = Passing(self._outgoing.redact)
        await self._responder.begin(answer.status, down(answer.headers))
        self._granted.served += 1
        async for chunk in answer.chunks():
            meter.feed(chunk)
            if tools is not None:
                await self._book.count_tools(self._granted, tools.feed(chunk))
            if not ended:  # before the client sees the end, the cost is durable
                ended = await self._ends(chunk, meter.complete())
            await self._responder.chunk(keyless.take(chunk if self._passer is None else self._passer.take(chunk)))
            if not ended and not refined and (opening := meter.opening()) is not None:
                self._book.refine(self._charge, self._call, estimate.refined(self._bound, opening, price=self._price))
                refined = True
        if not ended:
            error = meter.error_type
            await self._end(
                of_stream_error(error) if error else held("the stream ended without complete usage", blow=Blow.FAILURE)
            )
        last = keyless.take(self._passer.rest()) if self._passer is not None else b""
        await self._responder.chunk(last + keyless.rest())
        await self._responder.end()

    async def _ends(self, chunk: bytes, used: Usage | None) -> bool:
        """Whether the charge ended with this piece of a stream."""
        if self._watch is not None and self._watch.sees(chunk):
            await self._end(REMOTE)
            return True
        if used is not None:
            await self._settle(used)
        return used is not None

    def _to_keep(self, answer: bytes) -> str | None:
        """A whole answer that its job is about to record; a copy of it must outlive whoever is to do that.

        None for one that cannot be recorded: given once more, it would be as useless to every attempt.
        """
        if self._call.step is None or len(answer) > MOST_KEPT_BYTES:
            return None
        try:
            message_in(answer)
        except ValueError:
            return None
        self._granted.keeps = True
        return answer.decode("utf-8", "replace")

    async def _settle(self, used: Usage, *, answer: str | None = None) -> None:
        self._granted.answered()
        if self._endpoint.regional(self._outgoing.upstream):
            used = replace(used, us_only=True)
        await self._book.settle(self._charge, self._call, price=self._price, used=used, answer=answer)

    async def _end(self, verdict: Verdict) -> None:
        await self._book.conclude(self._charge, self._call, verdict)

    async def _slept(self, verdict: Verdict) -> None:
        """A connection did not outlive a sleep: the upstream is no worse for it, and neither is the attempt."""
        refusal = admission.slept(now=self._book.now())
        await self._end(replace(verdict, blow=Blow.NEUTRAL))
        self._granted.refused(refusal)
        await self._say(refusal.status, refusal.body(), refusal.headers())

    async def _say_fault(self, verdict: Verdict) -> None:
        """What came from the upstream cannot be passed on; a client gets a sentence instead."""
        self._granted.turned_down = self._fault(verdict)
        await self._say(502, admission.error_body("api_error", self._fault(verdict)))

    def _fault(self, verdict: Verdict) -> str:
        return f"{self._call.upstream}: {verdict.note}"

    async def _say(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        if not self._responder.begun:
            await self._responder.send(status, body, headers)


def _wait_of(verdict: Verdict, call: Call, *, now: UnixMs) -> Refusal | None:
    """What the job waits for after an answer that names a time, or that waiting for a person alone can mend."""
    if verdict.blow is Blow.TRIP:
        gate, fact, lifts_at = (
            f"breaker:{call.upstream_breaker}",
            f"the breaker of {call.upstream_breaker} tripped ({verdict.note})",
            None,
        )
    elif verdict.wait_until is not None and verdict.blow is Blow.NEUTRAL:
        gate, fact = f"rate:{call.breaker}", f"calls to {call.breaker} are paused at its wish ({verdict.note})"
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


def _bring_forward(limit: asyncio.Timeout) -> None:
    with suppress(RuntimeError):  # the call is over already
        limit.reschedule(asyncio.get_running_loop().time() + DRAIN_S)
