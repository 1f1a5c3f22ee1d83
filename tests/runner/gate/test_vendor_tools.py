"""What a request may ask of the vendor beside one answer: held for, limited on the way out, settled part by part."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.runner.gate.world import ASKED, COST, PRICES, House, error_of, house
from tests.upstream import PATIENCE_S, FakeAnthropic, Reply

SEARCH = {"type": "web_search_20260318", "name": "web_search"}
WINDOW = 4_000
PRICED = {name: replace(price, context=WINDOW) for name, price in PRICES.items()}


@pytest.fixture
async def gate(tmp_path: Path, vendor: FakeAnthropic) -> AsyncIterator[House]:
    async with house(tmp_path, vendor.url, prices=PRICED) as made:
        yield made


def holds(gate: House) -> list[int]:
    return [hold for (hold,) in gate.sql("SELECT hold FROM charges ORDER BY id")]


def iteration(kind: str, model: str, output: int) -> dict[str, Any]:
    return {"type": kind, "model": model, "input_tokens": 10, "output_tokens": output}


async def test_searches_a_task_allows_are_limited_held_and_billed_by_the_piece(
    gate: House, vendor: FakeAnthropic
) -> None:
    gate.granted.server_tools = {"web_search": 2}
    vendor.script(Reply.ok(server_tool_use={"web_search_requests": 2, "web_fetch_requests": 0}))

    answer = await gate.ask(tools=[{**SEARCH, "max_uses": 50}])

    assert answer.status_code == 200
    assert vendor.requests[0].body["tools"] == [{**SEARCH, "max_uses": 2, "allowed_callers": ["direct"]}]
    assert holds(gate) == [3 * 110_000 + 2 * 10_000]
    assert gate.charges() == [("settled", COST + 2 * 10_000, None)]


async def test_searches_that_no_task_allows_are_refused_unsent(gate: House, vendor: FakeAnthropic) -> None:
    answer = await gate.ask(tools=[SEARCH])

    assert error_of(answer) == (400, "invalid_request_error", "afk_unbounded")
    assert "web_search = 3 under [tasks.NAME.server_tools]" in answer.text
    assert (vendor.requests, holds(gate)) == ([], [])


async def test_each_model_of_a_fallback_costs_its_own(gate: House, vendor: FakeAnthropic) -> None:
    """The declined one and the one that served, which costs double."""
    parts = [iteration("message", "house-model", 3), iteration("fallback_message", "house-other", 5)]
    vendor.script(Reply.ok(model="house-other", iterations=parts))

    answer = await gate.ask(fallbacks=[{"model": "house-other", "max_tokens": 40}])

    assert answer.status_code == 200
    assert holds(gate) == [110_000 + 88_000]
    assert gate.charges() == [("settled", 3_000 + 10_000, None)]


async def test_a_fallback_to_a_model_that_goes_elsewhere_is_refused(gate: House, vendor: FakeAnthropic) -> None:
    answer = await gate.ask(fallbacks=[{"model": "claude-haiku-4-5"}])

    assert error_of(answer) == (400, "invalid_request_error", "afk_unbounded")
    assert "claude-haiku-4-5" in answer.text
    assert vendor.requests == []


async def test_the_clamp_of_the_task_is_written_into_a_call_without_one(gate: House, vendor: FakeAnthropic) -> None:
    gate.granted.max_output_tokens = 30

    async with gate.client() as client:
        answer = await client.post("/v1/messages", json={key: ASKED[key] for key in ("model", "messages")})

    assert answer.status_code == 200
    assert vendor.requests[0].body["max_tokens"] == 30
    assert holds(gate) == [33_000]


async def test_a_hold_shrinks_once_the_answer_tells_its_input(gate: House, vendor: FakeAnthropic) -> None:
    """While the answer is still being written; the output is held to its last token."""
    go_on = threading.Event()
    vendor.script(Reply.hang(go_on, after=1))
    body = {**ASKED, "model": "house-reader", "stream": True}

    async with gate.client() as client, client.stream("POST", "/v1/messages", json=body) as answer:
        chunks = answer.aiter_bytes()
        await anext(chunks)
        async with asyncio.timeout(PATIENCE_S):
            # 10 tokens at 100 and 100 at 1,000, and a tenth for the region.
            while holds(gate) != [111_100]:  # noqa: ASYNC110 - the writer's thread tells nobody
                await asyncio.sleep(0.005)
        go_on.set()
        async for _ in chunks:
            pass

    assert await gate.ended() == [("settled", 6_000, None)]
