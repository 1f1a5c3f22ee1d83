"""Large bodies hold nobody up: what no model reads is refused before it is read, the rest is worked on aside."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runner.gate.aside import LIGHT_BYTES, beside
from runner.gate.body import json_object
from runner.gate.http import BadRequest
from tests.runner.gate.world import ASKED, House, house
from tests.upstream import PATIENCE_S, FakeAnthropic


@pytest.fixture
async def gate(tmp_path: Path) -> AsyncIterator[House]:
    with FakeAnthropic() as vendor:
        async with house(tmp_path, vendor.url) as made:
            yield made


LONG = {
    "lists": b"[[]" + b",[]" * 510_000 + b"]",
    "objects": b"[{}" + b",{}" * 510_000 + b"]",
    "members": b"[{" + b",".join(b'"%d":1' % number for number in range(510_000)) + b"}]",
    "numbers": b"[1" + b",1" * 1_000_000 + b"]",
    "escapes": b'"' + b"\\n" * 2_000_001 + b'"',
    "letters that are none of base64": b'"' + "\u4e2d".encode() * 2_800_000 + b'"',
    "spaces": b" " * 8_400_000 + b"1",
}


@pytest.mark.parametrize("content", LONG.values(), ids=LONG)
def test_what_takes_long_to_read_and_no_model_reads_is_refused_unread(content: bytes) -> None:
    with pytest.raises(BadRequest, match="the body has more than") as refused:
        json_object(b'{"model": "house-model", "metadata": ' + content + b"}")

    assert refused.value.status == 413


def test_a_picture_as_large_as_the_vendor_takes_it_is_read() -> None:
    data = "+/9aZ" * 5_000_000

    assert json_object(json.dumps({"data": data}).encode()) == {"data": data}


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens", "/v1/chat/completions", "/afk/v1/log"])
async def test_nobody_waits_for_the_large_body_of_another_attempt(gate: House, path: str) -> None:
    """Both threads for large bodies are taken, one of them by the same attempt: calls with small ones pass by."""
    large = {**ASKED, "messages": [{"role": "user", "content": "x" * (LIGHT_BYTES + 1)}], "text": "x"}
    release, begun = threading.Event(), threading.Barrier(3)

    def hold() -> None:
        begun.wait(PATIENCE_S)
        release.wait(PATIENCE_S)

    taken = [
        asyncio.ensure_future(beside(each, b"x" * (LIGHT_BYTES + 1), hold)) for each in (gate.granted, gate.another())
    ]
    await asyncio.to_thread(begun.wait, PATIENCE_S)
    async with gate.client() as client:
        slow = asyncio.ensure_future(client.post(path, json=large))
        answer = [await gate.ask() for _ in range(3)][-1]
        waits = not slow.done()
        release.set()
        await asyncio.gather(slow, *taken)

    assert answer.status_code == 200
    assert waits, "it was read where everybody waits for it"
