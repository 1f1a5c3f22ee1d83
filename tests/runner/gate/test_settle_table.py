"""The settle table, row by row: what a vendor does, and what that leaves in the ledger, the breaker and the client.

Every row goes over real sockets through a real gate with a real database, for each endpoint, whole and streamed.
Source: spend.md § 5 and § 8.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from runner.gate import flight
from runner.gate.answer import Answer
from runner.gate.flight import Flight
from tests.runner.gate.world import COST, House, house
from tests.upstream import PATIENCE_S, FakeAnthropic, Reply, asked_for, body, events

CUT = 0
"""The client sees the connection break off."""
SILENCE_MS = 300
"""After so long a vendor that says nothing is given up where that is what a row is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One endpoint, asked whole or streamed."""

    path: str
    wire: str
    asked: Mapping[str, Any]
    hold: int
    """For 100 tokens of answer."""
    last: int
    """Events of the usual one-word answer before the one that tells the cost."""
    stream: bool

    def __str__(self) -> str:
        return f"{self.path.rpartition('/')[2]}-{'stream' if self.stream else 'whole'}"


_TURNS = [{"role": "user", "content": "Hello"}]
_MESSAGES = {"max_tokens": 100, "messages": _TURNS}
_CHAT = {"max_tokens": 100, "messages": _TURNS}
_RESPONSES = {"max_output_tokens": 100, "input": "Hello"}
WAYS = [
    Way(path=path, wire=wire, asked={"model": "house-model", **asked}, hold=hold, last=last, stream=stream)
    for path, wire, asked, hold, last in (
        # A region that no request rules out costs a tenth more on the one wire and shows in the address on the other.
        ("/v1/messages", "anthropic", _MESSAGES, 110_000, 5),
        ("/v1/chat/completions", "openai", _CHAT, 100_000, 3),
        ("/v1/responses", "openai", _RESPONSES, 100_000, 6),
    )
    for stream in (False, True)
]

HELD, RELEASED = "held", "released"
Ledger = str | int
"""`HELD` in full, `RELEASED`, or the micro-dollars settled."""
FINE, FAILURE, NEUTRAL, TRIPPED = "fine", "failure", "neutral", "tripped"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table."""

    does: str
    reply: Reply | Callable[[Way], Reply]
    ledger: Ledger
    breaker: str
    client: int
    """The status it reads; `CUT` in the middle of a stream."""
    only: str = ""
    """`whole` or `stream`: makes sense for that alone."""
    silent: str = ""
    """`unbegun` or `begun`: the vendor says nothing, or nothing more, and is not waited for."""


def says(number: int, kind: str = "api_error", *, code: str | None = None) -> Reply:
    return Reply.error(number, kind, code=code)


def told(**usage: Any) -> Reply:
    return Reply.ok(**usage)


def hang(after: int) -> Reply:
    """For ever."""
    return Reply.hang(threading.Event(), after=after)


_HTML = {"content-type": "text/html"}
_JSON = {"content-type": "application/json"}
_EVENTS = {"content-type": "text/event-stream"}

TABLE = [
    # --- complete usage: exact ---
    Row("answers", Reply(), COST, FINE, 200),
    Row("answers in two words", told(output_tokens=70), 70_000, FINE, 200),
    Row("answers byte by byte", Reply(split=1), COST, FINE, 200, "stream"),
    Row("answers in odd pieces", Reply(split=7), COST, FINE, 200, "stream"),
    Row("packs its answer, unasked", Reply(packing="gzip"), COST, FINE, 200),
    Row("packs its stream and cuts it anywhere", Reply(packing="deflate", split=3), COST, FINE, 200, "stream"),
    Row("answers whole where a stream was asked", lambda way: Reply(body=whole(way)), COST, FINE, 200, "stream"),
    Row("streams where nobody asked for it", lambda way: Reply(pieces=pieces(way)), COST, FINE, 502, "whole"),
    Row("calls its answer plain text", Reply(headers={"content-type": "text/plain"}), COST, FINE, 200, "whole"),
    # --- by whom ---
    Row("answers with a dearer model", Reply.ok(model="house-other"), 2 * COST, FINE, 200),
    Row("answers with the same model, dated", Reply.ok(model="house-model-2030-01-01"), COST, FINE, 200),
    Row("answers with a model of no price", Reply.ok(model="house-unheard-of"), HELD, NEUTRAL, 200),
    Row("answers dearer than its bound", told(output_tokens=200), 200_000, TRIPPED, 200),
    # --- no complete usage: the hold stands, and is never 0 ---
    Row("tells no usage", Reply.without_usage(), HELD, FAILURE, 200),
    Row("tells a negative count", told(output_tokens=-1), HELD, FAILURE, 200),
    Row("tells a count that is no number", told(output_tokens=True), HELD, FAILURE, 200),
    Row("tells a count in words", told(output_tokens="5"), HELD, FAILURE, 200),
    Row("tells a fraction", told(output_tokens=5.0), HELD, FAILURE, 200),
    Row("tells a count beyond reason", told(output_tokens=10**18), HELD, FAILURE, 200),
    Row("forgets one count", told(output_tokens=None), HELD, FAILURE, 200),
    Row("breaks off", Reply.cut(40), HELD, FAILURE, 502, "whole"),
    Row("breaks off after a while", Reply.cut(3), HELD, FAILURE, CUT, "stream"),
    Row("breaks off before its last event", lambda way: Reply.cut(way.last), HELD, FAILURE, CUT, "stream"),
    Row("ends before its last event", lambda way: Reply(pieces=pieces(way)[: way.last]), HELD, FAILURE, 200, "stream"),
    Row("says an error in mid-stream", Reply(error_after=3), HELD, FAILURE, 200, "stream"),
    Row("is silent from the start", lambda _: hang(0), HELD, FAILURE, 502, silent="unbegun"),
    Row("falls silent in mid-stream", lambda _: hang(2), HELD, FAILURE, CUT, "stream", silent="begun"),
    # --- what cannot be read ---
    Row("answers with a web page", Reply(body=b"<html>hello</html>", headers=_HTML), HELD, FAILURE, 502),
    Row("answers with half of its JSON", lambda way: Reply(body=whole(way)[:-9]), HELD, FAILURE, 502),
    Row("answers with bytes that are no text", Reply(body=b"\xff\xfe\x00"), HELD, FAILURE, 502),
    Row("answers with JSON of another kind", Reply(body=b"[1, 2]"), HELD, FAILURE, 502),
    Row("answers with nothing", Reply(status=204, body=b""), HELD, FAILURE, 502),
    Row("streams a web page", Reply(pieces=(b"<html>", b"</html>"), headers=_EVENTS), HELD, FAILURE, 200, "stream"),
    Row("packs with what nobody can undo", Reply(packing="br"), HELD, FAILURE, 502),
    Row("calls plain bytes packed", Reply(headers={"content-encoding": "gzip"}), HELD, FAILURE, 502, "whole"),
    Row("calls a plain stream packed", Reply(headers={"content-encoding": "gzip"}), HELD, FAILURE, CUT, "stream"),
    Row("sends its client elsewhere", Reply(status=307, headers={"location": "/x"}, body=b"{}"), HELD, NEUTRAL, 502),
    Row("says an error with a 200", Reply(body=b'{"error": {"message": "no"}}', headers=_JSON), HELD, FAILURE, 200),
    # --- refused: nothing was sold ---
    Row("says 400", says(400, "invalid_request_error"), RELEASED, NEUTRAL, 400),
    Row("says 404", says(404, "not_found_error"), RELEASED, NEUTRAL, 404),
    Row("says 413", says(413, "request_too_large"), RELEASED, NEUTRAL, 413),
    Row("says 422", says(422), RELEASED, NEUTRAL, 422),
    Row("says 429", says(429, "rate_limit_error"), RELEASED, NEUTRAL, 429),
    Row("says 503", says(503, "overloaded_error"), RELEASED, FAILURE, 503),
    Row("says 529", says(529, "overloaded_error"), RELEASED, FAILURE, 529),
    # --- refused for good: a person has to look ---
    Row("says 401", says(401, "authentication_error"), RELEASED, TRIPPED, 401),
    Row("says 402", says(402, "billing_error"), RELEASED, TRIPPED, 402),
    Row("says 403", says(403, "permission_error"), RELEASED, TRIPPED, 403),
    Row(
        "says its quota is used up",
        says(429, "insufficient_quota", code="insufficient_quota"),
        RELEASED,
        TRIPPED,
        429,
    ),
    Row("says the spend limit is reached", says(429, code="enforced_spend_limit_reached"), RELEASED, TRIPPED, 429),
    # --- refused, and nobody knows what was sold ---
    Row("says 408", says(408), HELD, NEUTRAL, 408),
    Row("says 409", says(409), HELD, NEUTRAL, 409),
    Row("says 418", says(418), HELD, NEUTRAL, 418),
    Row("says 499", says(499), HELD, NEUTRAL, 499),
    Row("says 500", says(500), HELD, FAILURE, 500),
    Row("says 502 with a web page", Reply(status=502, body=b"<html>", headers=_HTML), HELD, FAILURE, 502),
    Row("says 504", says(504), HELD, FAILURE, 504),
]


def pieces(way: Way) -> tuple[bytes, ...]:
    """A good stream of the endpoint, event by event."""
    return tuple(events(Reply(), asked_for(way.path, {**way.asked, "stream_options": {"include_usage": True}})))


def whole(way: Way) -> bytes:
    """A good whole answer of the endpoint."""
    return body(Reply(), asked_for(way.path, way.asked))


@pytest.fixture(scope="module")
def vendor() -> Iterator[FakeAnthropic]:
    with FakeAnthropic() as server:
        yield server


async def ask(gate: House, way: Way, **more: Any) -> tuple[int, bytes]:
    """The status the client reads, `CUT` for an answer that breaks off, and what it has read."""
    read = bytearray()
    asked = {**way.asked, **({"stream": True} if way.stream else {}), **more}
    async with gate.client() as client:
        try:
            async with client.stream("POST", way.path, json=asked) as answer:
                async for chunk in answer.aiter_bytes():
                    read += chunk
        except httpx.RemoteProtocolError:
            return CUT, bytes(read)
    return answer.status_code, bytes(read)


def breaker(gate: House) -> str:
    """What the breaker has heard of."""
    rows = gate.sql("SELECT state, retry_at, failures FROM breakers")  # of the model, and of all its upstream serves
    if any(state == "open" and retry_at is None for state, retry_at, _ in rows):
        return TRIPPED
    return FAILURE if any(failures for _, _, failures in rows) else ""


CASES = [
    pytest.param(way, each, id=f"{way}-{each.does}")
    for way in WAYS
    for each in TABLE
    if not each.only or (each.only == "stream") == way.stream
]


def hurry_once_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a vendor takes to begin: from the head of its answer on, its silence is short."""
    pass_on = Flight._pass_on

    async def hurried(self: Flight, answer: Answer) -> None:
        assert self._outgoing.request is not None
        self._outgoing.request.extensions["timeout"]["read"] = SILENCE_MS / 1000
        await pass_on(self, answer)

    monkeypatch.setattr(Flight, "_pass_on", hurried)


@pytest.mark.parametrize(("way", "each"), CASES)
async def test_what_a_vendor_does_has_one_meaning(
    tmp_path: Path, vendor: FakeAnthropic, monkeypatch: pytest.MonkeyPatch, way: Way, each: Row
) -> None:
    vendor.script(each.reply if isinstance(each.reply, Reply) else each.reply(way))
    upstream: dict[str, Any] = {"wire": way.wire}
    if each.silent == "unbegun":
        upstream["timeout_ms"] = SILENCE_MS
    elif each.silent == "begun":
        hurry_once_begun(monkeypatch)
    async with house(tmp_path, vendor.url, upstream=upstream) as gate:
        client, read = await ask(gate, way)

        ((state, counted, _),) = await gate.ended()
        left = counted if state == "settled" else state
        assert left == each.ledger
        assert counted == (way.hold if state == HELD else 0 if state == RELEASED else each.ledger)
        assert breaker(gate) == (each.breaker if each.breaker in (FAILURE, TRIPPED) else "")
        assert client == each.client
        assert (gate.granted.unanswered is None) == (client in (200, CUT)), "what began to come is an answer"
        assert b"Error:" not in read
        assert b"JSONDecode" not in read


# --- what the table says beside its rows --------------------------------------------------------------------------

STREAMS = [pytest.param(way, id=str(way)) for way in WAYS if way.stream]
EVERY_WAY = [pytest.param(way, id=str(way)) for way in WAYS]


@pytest.mark.parametrize("way", EVERY_WAY)
async def test_where_nothing_could_be_sent_nothing_is_held(tmp_path: Path, way: Way) -> None:
    async with house(tmp_path, "http://127.0.0.1:1", upstream={"wire": way.wire}) as gate:
        client, read = await ask(gate, way)

        assert client == 502
        assert b"house: it could not be reached" in read
        assert [charge[:2] for charge in gate.charges()] == [(RELEASED, 0)]
        assert breaker(gate) == FAILURE


@pytest.mark.parametrize("number", [503, 529])
async def test_an_upstream_may_be_said_to_bill_what_it_turns_away(
    tmp_path: Path, vendor: FakeAnthropic, number: int
) -> None:
    vendor.script(says(number))
    async with house(tmp_path, vendor.url, upstream={"hold_overloaded": True}) as gate:
        assert (await gate.ask()).status_code == number
        assert [charge[:2] for charge in gate.charges()] == [(HELD, WAYS[0].hold)]


@pytest.mark.parametrize(
    ("reply", "input_tokens"),
    [
        (Reply.cut(4), 10),
        (Reply(cut_after=1, usage={"input_tokens": 20, "output_tokens": 5}), 20),
        (Reply(error_after=4, usage={"input_tokens": 30, "output_tokens": 5}), 30),
    ],
)
async def test_a_stream_that_breaks_keeps_the_hold_its_opening_left(
    tmp_path: Path, vendor: FakeAnthropic, reply: Reply, input_tokens: int
) -> None:
    """Exact input and all of the clamped output: never the one token of output that an opening tells."""
    vendor.script(reply)
    way = WAYS[1]
    async with house(tmp_path, vendor.url) as gate:
        await ask(gate, way, model="house-reader")

        ((state, counted, _),) = await gate.ended()
        assert (state, counted) == (HELD, (input_tokens * 100 + 100 * 1_000) * 11 // 10)


async def test_a_hold_is_lowered_while_the_answer_still_comes(tmp_path: Path, vendor: FakeAnthropic) -> None:
    release = threading.Event()
    vendor.script(Reply.hang(release, after=1))
    async with house(tmp_path, vendor.url) as gate:
        call = asyncio.ensure_future(ask(gate, WAYS[1], model="house-reader"))
        async with asyncio.timeout(PATIENCE_S):
            while gate.sql("SELECT hold FROM charges") != [((10 * 100 + 100 * 1_000) * 11 // 10,)]:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        assert gate.charges() == []
        release.set()
        await call
        assert gate.charges() == [("settled", 10 * 100 + 5 * 1_000, None)]


@pytest.mark.parametrize("way", EVERY_WAY)
async def test_a_client_that_leaves_is_charged_what_the_answer_says(
    tmp_path: Path, vendor: FakeAnthropic, way: Way
) -> None:
    """The answer is read to its end for what it tells."""
    release = threading.Event()
    vendor.script(Reply.hang(release, after=2 if way.stream else 0))
    before = len(vendor.requests)
    async with house(tmp_path, vendor.url, upstream={"wire": way.wire}) as gate:
        call = asyncio.ensure_future(ask(gate, way))
        await asyncio.to_thread(vendor.wait_for, before + 1)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        release.set()

        assert await gate.ended() == [("settled", COST, None)]


@pytest.mark.parametrize("way", EVERY_WAY)
async def test_a_client_that_leaves_a_silent_vendor_keeps_its_hold(
    tmp_path: Path, vendor: FakeAnthropic, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The vendor's line is closed after a while; the breaker hears nothing of it."""
    monkeypatch.setattr(flight, "DRAIN_S", 0.2)
    vendor.script(Reply.hang(threading.Event(), after=2 if way.stream else 0))
    before = len(vendor.requests)
    async with house(tmp_path, vendor.url, upstream={"wire": way.wire}) as gate:
        call = asyncio.ensure_future(ask(gate, way))
        await asyncio.to_thread(vendor.wait_for, before + 1)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)

        assert [charge[:2] for charge in await gate.ended()] == [(HELD, way.hold)]
        assert breaker(gate) == ""
        assert await asyncio.to_thread(vendor.requests[before].gone.wait, PATIENCE_S)


@pytest.mark.parametrize("way", STREAMS)
async def test_a_stream_is_passed_on_as_it_comes_and_settled_before_its_end(
    tmp_path: Path, vendor: FakeAnthropic, way: Way
) -> None:
    """A client that reads the last event and is killed has been charged."""
    release = threading.Event()
    vendor.script(Reply.hang(release, after=1))
    async with (
        house(tmp_path, vendor.url, upstream={"wire": way.wire}) as gate,
        gate.client() as client,
        client.stream("POST", way.path, json={**way.asked, "stream": True}) as answer,
    ):
        chunks = answer.aiter_bytes()
        assert b"data: " in await anext(chunks)
        assert gate.charges() == []
        release.set()
        async for chunk in chunks:
            if any(last in chunk for last in (b"message_stop", b"[DONE]", b"response.completed")):
                assert gate.charges() == [("settled", COST, None)]
                return
    pytest.fail("the stream had no end")
