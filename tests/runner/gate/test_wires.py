"""What goes up and what comes down on either wire: keys, limits, refusals, and what is served beside the calls."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from runner.config import BudgetConfig
from runner.units import MicroUsd
from tests.runner.gate.world import ASKED, COST, KEY, House, error_of, house
from tests.upstream import PATIENCE_S, FakeAnthropic, Reply

CHAT: dict[str, Any] = {"model": "house-model", "messages": [{"role": "user", "content": "Hello"}]}
RESPONSE: dict[str, Any] = {"model": "house-model", "input": "Hello"}
BUDGET = BudgetConfig(daily_usd=MicroUsd(1_000_000_000))
"""Room for answers of the usual limit at a tenth of a cent a token."""
ENDPOINTS = [
    pytest.param("/chat/completions", CHAT, id="chat"),
    pytest.param("/responses", RESPONSE, id="responses"),
]


@pytest.fixture
async def gate(tmp_path: Path, vendor: FakeAnthropic) -> AsyncIterator[House]:
    """In front of a vendor that speaks the OpenAI wire."""
    async with house(tmp_path, vendor.url, budget=BUDGET, upstream={"wire": "openai"}) as made:
        yield made


@pytest.fixture
async def other(tmp_path: Path, vendor: FakeAnthropic) -> AsyncIterator[House]:
    """In front of a vendor that speaks the Anthropic wire."""
    async with house(tmp_path, vendor.url) as made:
        yield made


# --- up -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "body"), ENDPOINTS)
async def test_a_call_goes_up_with_the_key_in_place_of_the_token(
    gate: House, vendor: FakeAnthropic, path: str, body: dict[str, Any]
) -> None:
    """Whichever header and whichever base URL its client uses."""
    token = gate.granted.token
    for base in ("", "/v1", "/v1/v1"):
        for header in ({"x-api-key": token}, {"x-api-key": "", "authorization": f"Bearer {token}"}):
            async with gate.client() as client:
                assert (await client.post(base + path, json=body, headers=header)).status_code == 200

    for call in vendor.wait_for(6):
        assert call.path == f"/v1{path}"
        assert call.headers["authorization"] == f"Bearer {KEY}"
        assert "x-api-key" not in call.headers
        assert token not in str(call.headers)


@pytest.mark.parametrize(
    ("written", "path"), [("", "/v1"), ("/", "/v1"), ("/v1", "/v1"), ("/api/v1", "/api/v1"), ("/openai", "/openai")]
)
async def test_an_upstream_may_be_written_with_and_without_its_version(
    tmp_path: Path, vendor: FakeAnthropic, written: str, path: str
) -> None:
    """A path of another kind is taken as it is, as the vendor's own clients do."""
    async with (
        house(tmp_path, vendor.url + written.rstrip("/"), budget=BUDGET, upstream={"wire": "openai"}) as gate,
        gate.client() as client,
    ):
        await client.post("/v1/chat/completions", json=CHAT)

    assert vendor.requests[0].path == f"{path}/chat/completions"


async def test_the_other_wires_upstream_may_be_written_with_its_version(tmp_path: Path, vendor: FakeAnthropic) -> None:
    async with house(tmp_path, vendor.url + "/v1") as gate:
        assert (await gate.ask()).status_code == 200

    assert vendor.requests[0].path == "/v1/messages"


async def test_a_limit_of_the_answer_is_written_in(gate: House, vendor: FakeAnthropic) -> None:
    """The task's, or the usual one; what the client sent is clamped."""
    gate.granted.max_output_tokens = 70
    async with gate.client() as client:
        await client.post("/v1/chat/completions", json=CHAT)
        await client.post("/v1/chat/completions", json={**CHAT, "max_completion_tokens": 90})
        await client.post("/v1/responses", json=RESPONSE)
        gate.granted.max_output_tokens = None
        await client.post("/v1/responses", json=RESPONSE)

    one, two, three, four = [call.body for call in vendor.requests]
    assert one["max_tokens"] == two["max_tokens"] == three["max_output_tokens"] == 70
    assert four["max_output_tokens"] == 16_384
    assert [hold for (hold,) in gate.sql("SELECT hold FROM charges ORDER BY id")] == [70_000] * 3 + [16_384_000]


async def test_more_than_the_cap_is_not_sent(gate: House, vendor: FakeAnthropic) -> None:
    async with gate.client() as client:
        answer = await client.post("/v1/chat/completions", json={**CHAT, "max_tokens": 10_000, "n": 128})

    assert error_of(answer) == (402, "billing_error", "afk_daily_cap")
    assert vendor.requests == []


# --- down ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [None, True, False])
async def test_a_stream_tells_its_usage_to_whom_asked_for_it(
    gate: House, vendor: FakeAnthropic, asked: bool | None
) -> None:
    """The vendor is always asked; a client that did not ask gets no chunk without choices, on which many break."""
    vendor.script(Reply(split=5))
    options = {} if asked is None else {"stream_options": {"include_usage": asked}}
    async with gate.client() as client:
        answer = await client.post("/v1/chat/completions", json={**CHAT, "stream": True, **options})

    assert vendor.requests[0].body["stream_options"] == {"include_usage": True}
    assert gate.charges() == [("settled", COST, None)]
    events = [line.removeprefix("data: ") for line in answer.text.splitlines() if line]
    chunks = [json.loads(event) for event in events[:-1]]
    assert events[-1] == "[DONE]"
    assert (
        "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"]) == "Understood."
    )
    assert [chunk for chunk in chunks if not chunk["choices"]] == ([chunks[-1]] if asked else [])


async def test_a_stream_that_is_filtered_still_comes_as_it_is_made(gate: House, vendor: FakeAnthropic) -> None:
    release = threading.Event()
    vendor.script(Reply.hang(release, after=2))
    async with (
        gate.client() as client,
        client.stream("POST", "/v1/chat/completions", json={**CHAT, "stream": True}) as answer,
    ):
        seen = b""
        async with asyncio.timeout(PATIENCE_S):
            async for chunk in answer.aiter_bytes():
                seen += chunk
                if b"Understood." in seen:
                    release.set()

    assert seen.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize(("path", "body"), ENDPOINTS)
async def test_a_refusal_is_read_by_the_clients_of_either_wire(
    gate: House, vendor: FakeAnthropic, path: str, body: dict[str, Any]
) -> None:
    gate.stop["outside"] = "a STOP file"
    async with gate.client() as client:
        answer = await client.post(path, json=body)

    told = answer.json()
    assert (answer.status_code, answer.headers["x-should-retry"]) == (503, "false")
    assert told["error"]["code"] == told["error"]["details"]["error_code"] == "afk_stopped"
    assert set(told["error"]) == {"type", "message", "code", "param", "details"}
    assert told["type"] == "error"
    assert vendor.requests == []


@pytest.mark.parametrize(("path", "body"), ENDPOINTS)
async def test_what_cannot_be_bounded_is_refused_unsent(
    gate: House, vendor: FakeAnthropic, path: str, body: dict[str, Any]
) -> None:
    async with gate.client() as client:
        answer = await client.post(path, json={**body, "tools": [{"type": "web_search"}]})

    assert error_of(answer) == (400, "invalid_request_error", "afk_unbounded")
    assert "web_search" in answer.text
    assert (vendor.requests, gate.charges()) == ([], [])


async def test_a_model_of_the_other_wire_is_refused_in_one_sentence(gate: House, vendor: FakeAnthropic) -> None:
    """Nothing is translated between the two."""
    answer = await gate.ask()

    assert error_of(answer) == (400, "invalid_request_error", "afk_unknown_model")
    assert (
        "its upstream house speaks the OpenAI wire, at POST /v1/chat/completions" in answer.json()["error"]["message"]
    )
    assert gate.granted.refusal is not None
    assert gate.granted.refusal.final
    assert vendor.requests == []


@pytest.mark.parametrize(("path", "body"), ENDPOINTS)
async def test_so_is_one_of_this_wire(other: House, vendor: FakeAnthropic, path: str, body: dict[str, Any]) -> None:
    async with other.client() as client:
        answer = await client.post(path, json=body)

    assert error_of(answer) == (400, "invalid_request_error", "afk_unknown_model")
    assert "POST /v1/messages" in answer.text
    assert vendor.requests == []


async def test_headers_that_name_a_time_or_a_limit_come_down(gate: House, vendor: FakeAnthropic) -> None:
    given = {"x-ratelimit-remaining-requests": "0", "retry-after-ms": "1500", "set-cookie": "a=b", "x-request-id": "r"}
    vendor.script(Reply.error(429, "rate_limit_error", headers=given))
    async with gate.client() as client:
        answer = await client.post("/v1/chat/completions", json=CHAT)

    assert (answer.status_code, answer.headers["x-should-retry"]) == (429, "false")
    assert {name: answer.headers.get(name) for name in given} == {**given, "set-cookie": None}


async def test_a_key_that_is_quoted_is_not_shown(gate: House, vendor: FakeAnthropic) -> None:
    vendor.script(Reply.error(401, "invalid_request_error", f"Incorrect API key provided: {KEY}"))
    async with gate.client() as client:
        answer = await client.post("/v1/responses", json=RESPONSE)

    assert KEY not in answer.text
    assert not gate.sql("SELECT 1 FROM breakers WHERE reason LIKE ?", f"%{KEY}%")


# --- beside the calls ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/"])
@pytest.mark.parametrize("method", ["HEAD", "GET"])
async def test_whoever_asks_learns_that_somebody_is_there(gate: House, path: str, method: str) -> None:
    async with gate.client(token="nobody") as client:
        assert (await client.request(method, path)).status_code == 200


async def test_models_are_listed_for_the_clients_of_either_wire(gate: House) -> None:
    async with gate.client() as client:
        listed, one = await client.get("/v1/models"), await client.get("/models/house-model")
        missing = await client.get("/v1/models/elsewhere")

    (model,) = listed.json()["data"]
    assert listed.json()["object"] == "list"
    assert (model["id"], model["object"], model["type"]) == ("house-model", "model", "model")
    assert one.json() == model
    assert missing.status_code == 404


LATER = ["/v1/messages/batches", "/v1/batches", "/v1/files", "/v1/threads/t/runs", "/v1/sessions", "/v1/agents/a"]
OTHERWISE = ["/v1/images/generations", "/v1/audio/speech", "/v1/realtime/sessions", "/v1/embeddings", "/v1/completions"]


@pytest.mark.parametrize(
    ("path", "word"),
    [
        *((path, "paid later") for path in LATER),
        *((path, "has no price here") for path in OTHERWISE),
        ("/v1/responses/resp_1/cancel", "what the vendor keeps"),
        ("/v1/responses/compact", "what the vendor keeps"),
        ("/v1/elsewhere", "not served here"),
        ("/v1/chat", "not served here"),
        ("/v1/messages/count_tokens/x", "not served here"),
    ],
)
async def test_what_is_not_served_says_why(gate: House, vendor: FakeAnthropic, path: str, word: str) -> None:
    async with gate.client() as client:
        answer = await client.post(path, json=CHAT)

    assert (answer.status_code, answer.headers["x-should-retry"]) == (404, "false")
    assert word in answer.json()["error"]["message"]
    assert vendor.requests == []


async def test_a_socket_is_refused_so_that_its_client_goes_on_without(gate: House) -> None:
    """The client of `/v1/responses` tries one first."""
    wanted = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13", "sec-websocket-key": "x"}
    async with gate.client() as client:
        answer = await client.get("/v1/responses", headers=wanted)

    assert answer.status_code == 426


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/v1/messages/count_tokens"])
@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "house-model", "n": 1, "n": 9}',
        b"\xff{}",
        b"{",
        b'{"model": "house-model", "temperature": NaN}',
        b'{"model": 7}',
    ],
)
async def test_a_body_that_could_be_read_two_ways_is_refused_in_plain_words(
    gate: House, vendor: FakeAnthropic, path: str, body: bytes
) -> None:
    async with gate.client() as client:
        answer = await client.post(path, content=body)
        packed = await client.post(path, content=body, headers={"content-encoding": "gzip"})

    assert (answer.status_code, packed.status_code) == (400, 415)
    said = answer.json()["error"]["message"]
    assert not any(word in said for word in ("codec", "Expecting", "Error", "char 0"))
    assert vendor.requests == []


# --- counting tokens ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", ["", "/v1", "/v1/v1"])
async def test_a_count_goes_to_the_vendor_and_holds_no_money(other: House, vendor: FakeAnthropic, base: str) -> None:
    async with other.client() as client:
        answer = await client.post(f"{base}/messages/count_tokens?beta=true", json=ASKED)

    assert answer.json() == {"input_tokens": len(vendor.requests[0].raw) // 4}
    assert (vendor.requests[0].path, vendor.requests[0].headers["x-api-key"]) == (
        "/v1/messages/count_tokens?beta=true",
        KEY,
    )
    assert other.sql("SELECT count(*) FROM charges") == [(0,)]


async def test_the_offline_models_tokens_are_counted_here(other: House, vendor: FakeAnthropic) -> None:
    """As many as its answer then tells."""
    asked = {**ASKED, "model": "offline/extract", "system": "Sum up."}
    async with other.client() as client:
        count = await client.post("/v1/messages/count_tokens", json=asked)
        answer = await client.post("/v1/messages", json=asked)

    assert count.json()["input_tokens"] == answer.json()["usage"]["input_tokens"] > 0
    assert vendor.requests == []


@pytest.mark.parametrize("why", ["outside", "now", "breaker"])
async def test_no_count_passes_a_stop_or_a_breaker(other: House, vendor: FakeAnthropic, why: str) -> None:
    if why == "breaker":
        vendor.script(*[Reply.error(500)] * 5)
        for _ in range(5):
            await other.ask()
    else:
        other.stop[why] = "a STOP file"
    before = len(vendor.requests)
    async with other.client() as client:
        answer = await client.post("/v1/messages/count_tokens", json=ASKED)

    assert error_of(answer)[2] == ("afk_breaker_open" if why == "breaker" else "afk_stopped")
    assert len(vendor.requests) == before


async def test_a_count_ends_with_its_attempt(other: House, vendor: FakeAnthropic) -> None:
    other.passes.revoke(other.granted)
    async with other.client() as client:
        assert (await client.post("/v1/messages/count_tokens", json=ASKED)).status_code == 403
    assert vendor.requests == []


async def test_a_count_of_the_other_wires_model_is_refused(gate: House, vendor: FakeAnthropic) -> None:
    async with gate.client() as client:
        answer = await client.post("/v1/messages/count_tokens", json=ASKED)

    assert error_of(answer)[2] == "afk_unknown_model"
    assert vendor.requests == []


async def test_a_count_of_a_vendor_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    async with house(tmp_path, "http://127.0.0.1:1") as gate, gate.client() as client:
        answer = await client.post("/v1/messages/count_tokens", json=ASKED)

        assert answer.status_code == 502
        assert "house: it could not be reached" in answer.json()["error"]["message"]
        assert gate.sql("SELECT count(*) FROM charges") == [(0,)]


async def test_a_count_in_flight_is_cut_with_its_attempt(tmp_path: Path) -> None:
    """The line to a vendor that never answers is closed."""
    asked, gone = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        while await reader.read(65_536):
            pass
        gone.set()
        writer.close()

    vendor = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = vendor.sockets[0].getsockname()[1]
    async with vendor, house(tmp_path, f"http://127.0.0.1:{port}") as gate, gate.client() as client:
        count = asyncio.ensure_future(client.post("/v1/messages/count_tokens", json=ASKED))
        async with asyncio.timeout(PATIENCE_S):
            await asked.wait()
            gate.passes.revoke(gate.granted)
            assert error_of(await count)[2] == "afk_attempt_over"
            await gone.wait()
