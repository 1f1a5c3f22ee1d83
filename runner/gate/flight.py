"""One admitted call in the air: sent, its answer passed on as it comes, its charge ended."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress

import httpx

from runner.gate import admission, usage
from runner.gate.admission import Refusal
from runner.gate.book import Barred, Book
from runner.gate.call import Call
from runner.gate.http import NO_RETRY, Responder
from runner.gate.passes import Pass
from runner.gate.rates import Price
from runner.gate.upstreams import Answer, Outgoing, Upstreams
from runner.gate.usage import StreamUsage, Usage
from runner.gate.verdict import Blow, Verdict, held, of_status, of_stream_error, of_transport, released
from runner.units import UnixMs

DRAIN_S = 30.0
"""How long an answer is read on for its usage after the client left."""
MAX_ANSWER_BYTES = 64 * 1024 * 1024
_PASSED_DOWN = ("content-type", "request-id", "retry-after", "retry-after-ms", "x-should-retry")
_PASSED_DOWN_PREFIX = "anthropic-ratelimit-"


class Flight:
    """A call that was admitted: from here on its charge ends exactly once, whatever happens."""

    def __init__(
        self,
        *,
        book: Book,
        upstreams: Upstreams,
        charge: int,
        call: Call,
        price: Price,
        granted: Pass,
        responder: Responder,
        outgoing: Outgoing,
    ) -> None:
        self._book = book
        self._upstreams = upstreams
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
            await self._cut()
            raise
        except Barred as barred:
            await self._end(released(f"not sent: {barred.refusal.code}"))
            self._granted.refused(barred.refusal)
            await self._say(barred.refusal.status, barred.refusal.body(), NO_RETRY)
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            if limit.expired():
                await self._end(held(f"the client left and the answer did not end within {DRAIN_S:g}s"))
                return
            verdict = of_transport(error, sent=self._outgoing.sent)
            await self._end(verdict)
            await self._say(502, admission.error_body("api_error", f"{self._call.upstream}: {verdict.note}"))
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
        verdict = of_status(answer.status, body, _words(answer.headers), now=self._book.now())
        await self._end(verdict)
        wait = _wait_of(verdict, self._call, now=self._book.now())
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
            await self._end(held("the answer told no complete usage", blow=Blow.FAILURE))
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
            await self._end(
                of_stream_error(error) if error else held("the stream ended without complete usage", blow=Blow.FAILURE)
            )
        await self._responder.end()

    async def _settle(self, used: Usage) -> None:
        self._granted.answered()
        await self._book.settle(self._charge, self._call, price=self._price, used=used)

    async def _end(self, verdict: Verdict) -> None:
        await self._book.conclude(self._charge, self._call, verdict)

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
