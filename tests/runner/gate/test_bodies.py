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
from runner.gate.http import EVENTS_AT_ONCE, MAX_BODY_BYTES, BadRequest, Request, Responder, serve_connection
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
    "a whole number": b"1" * 30_000_000,
    "a fraction": b"0." + b"1" * 30_000_000,
    "an exponent": b"1e-" + b"1" * 300_000,
}


@pytest.mark.parametrize("content", LONG.values(), ids=LONG)
def test_what_takes_long_to_read_and_no_model_reads_is_refused_unread(content: bytes) -> None:
    with pytest.raises(BadRequest, match="the body has more than") as refused:
        json_object(b'{"model": "house-model", "metadata": ' + content + b"}")

    assert refused.value.status == 413


@pytest.mark.parametrize("number", [b"1" * 101, b"0." + b"1" * 100, b"1e-" + b"1" * 100])
def test_a_number_of_more_digits_than_any_has_is_refused(number: bytes) -> None:
    with pytest.raises(BadRequest, match="has more than 100 digits") as refused:
        json_object(b'{"temperature": ' + number + b"}")

    assert refused.value.status == 400


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


async def test_a_body_in_the_smallest_pieces_leaves_others_their_turns() -> None:
    """A client may send each byte as a chunk of its own: ten thousand come with one read."""
    turns = 0
    taken: list[tuple[int, bytes]] = []

    def count() -> None:
        nonlocal turns
        turns += 1
        if not taken:
            asyncio.get_running_loop().call_soon(count)

    def admit(_: Request) -> int:
        count()
        return MAX_BODY_BYTES

    async def handle(request: Request, responder: Responder) -> None:
        taken.append((turns, request.body))
        await responder.send(200, b"{}")

    server = await asyncio.start_server(
        lambda reader, writer: serve_connection(reader, writer, handle, admit), "127.0.0.1", 0
    )
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        head = b"POST / HTTP/1.1\r\nhost: gate\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
        writer.write(head + b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n")
        async with asyncio.timeout(PATIENCE_S):
            await reader.read()
        writer.close()

    ((turns_taken, body),) = taken
    assert body == b"x" * 20_000
    assert turns_taken >= 20_000 // EVENTS_AT_ONCE
