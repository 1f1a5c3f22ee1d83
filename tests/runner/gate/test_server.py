"""The gate over real sockets: hostile HTTP is refused, and every way a call can end leaves the ledger right."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anthropic
import httpx
import pytest

from runner.config import BudgetConfig
from runner.errors import StoreBusy
from runner.gate import book, flight, http, ledger
from runner.gate.book import Book
from runner.units import MicroUsd
from tests.runner.gate.world import ASKED, BREAKER, COST, HOLD, KEY, House, error_of, house
from tests.upstream import PATIENCE_S, FakeAnthropic, Reply


async def raw(gate: House, data: bytes, *, end: bool = False) -> bytes:
    """Send these bytes; everything that comes back until the gate closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
    writer.write(data)
    if end:
        writer.write_eof()
    async with asyncio.timeout(PATIENCE_S):
        answer = await reader.read()
    writer.close()
    return answer


def request(gate: House, body: bytes, *extra: str, line: str = "POST /v1/messages HTTP/1.1") -> bytes:
    head = [line, "host: gate", f"x-api-key: {gate.granted.token}", f"content-length: {len(body)}", *extra]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


async def arrived(vendor: FakeAnthropic, count: int = 1) -> None:
    await asyncio.to_thread(vendor.wait_for, count)


# --- good calls ---------------------------------------------------------------------------------------------------


async def test_a_call_is_answered_and_settled_to_its_true_cost(gate: House, vendor: FakeAnthropic) -> None:
    """The upstream gets its key in place of the token, and the body as it was."""
    answer = await gate.ask()

    assert answer.json()["content"][0]["text"] == "Understood."
    assert gate.charges() == [("settled", COST, None)]
    (call,) = vendor.requests
    assert call.headers["x-api-key"] == KEY
    assert gate.granted.token not in str(call.headers)
    assert call.body == ASKED


@pytest.mark.parametrize("header", ["x-api-key", "authorization"])
async def test_the_sdk_is_served_whole_and_streamed(gate: House, header: str) -> None:
    """With the key in either of the two headers clients use."""
    auth = {"api_key": gate.granted.token} if header == "x-api-key" else {"auth_token": gate.granted.token}
    async with anthropic.AsyncAnthropic(base_url=gate.gate.url, max_retries=0, **auth) as client:
        whole = await client.messages.create(**ASKED)
        async with client.messages.stream(**ASKED) as stream:
            text = await stream.get_final_text()

    assert whole.content[0].text == text == "Understood."
    assert gate.charges() == [("settled", COST, None)] * 2


async def test_a_connection_carries_several_requests_and_head_is_free(gate: House) -> None:
    async with gate.client(token="nobody") as client:
        assert (await client.head("/")).status_code == 200
    async with gate.client() as client:
        models = await client.get("/v1/models")
        for path in ("/v1/messages", "/v1/v1/messages", "/v1/messages?beta=true"):
            assert (await client.post(path, json=ASKED)).status_code == 200

    assert [model["id"] for model in models.json()["data"]] == ["house-model"]
    assert len(gate.charges()) == 3


async def test_pipelined_requests_are_answered_in_turn(gate: House) -> None:
    body = json.dumps(ASKED).encode()

    answer = await raw(gate, request(gate, body) + request(gate, body), end=True)

    assert answer.count(b"HTTP/1.1 200 ") == 2
    assert len(gate.charges()) == 2


# --- hostile HTTP -------------------------------------------------------------------------------------------------

BODY = json.dumps(ASKED).encode()


@pytest.mark.parametrize(
    ("line", "extra", "status"),
    [
        ("POST http://evil.example/v1/messages HTTP/1.1", [], 400),
        ("CONNECT evil.example:443 HTTP/1.1", [], 400),
        ("OPTIONS * HTTP/1.1", [], 400),
        ("POST /v1/messages HTTP/1.1", ["upgrade: websocket", "connection: upgrade"], 400),
        ("POST /v1/messages HTTP/1.1", ["content-encoding: gzip"], 415),
        ("POST /v1/messages HTTP/1.1", ["transfer-encoding: chunked"], 400),
        ("POST /v1/messages HTTP/1.1", ["transfer-encoding: gzip"], 501),
        ("POST /v1/messages HTTP/1.1", ["content-length: 5"], 400),
        ("POST /v1/messages HTTP/1.1", ["x-api-key: another"], 400),
        ("POST /v1/messages HTTP/1.1", [f"x-long: {'x' * 200_000}"], 431),
        ("POST /v1/messages HTTP/3.7", [], 505),
        ("nonsense", [], 400),
        ("POST /v1/completions HTTP/1.1", [], 404),
        ("POST /v1/messages/batches HTTP/1.1", [], 404),
        ("DELETE /v1/messages HTTP/1.1", [], 404),
        ("POST /v1/messages/../messages HTTP/1.1", [], 404),
    ],
)
async def test_what_could_be_read_two_ways_is_refused(
    gate: House, vendor: FakeAnthropic, line: str, extra: list[str], status: int
) -> None:
    answer = await raw(gate, request(gate, BODY, *extra, line=line))

    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"x-should-retry: false" in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["type"] == "error"
    assert vendor.requests == []
    assert gate.charges() == []


async def test_who_sends_no_token_is_told_that_none_came(gate: House) -> None:
    answer = await raw(gate, b"GET /v1/models HTTP/1.1\r\nhost: gate\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"no token was sent" in answer


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "house-model", "max_tokens": 1, "max_tokens": 100, "messages": []}',
        b'{"model": "house-model", "messages": [{"role": "user", "role": "user", "content": "x"}]}',
        b"[]",
        b"{",
        b'{"model": "house-model", "temperature": NaN}',
        b'{"model": "house-model", "temperature": 1e999}',
        b'{"model": "house-model", "max_tokens": 1, "messages": [{"role": "user", "content": "\\ud800"}]}',
        b'\xff{"model": "house-model"}',
        b"[" * 100_000,
        b'{"model": "house-model", "max_tokens": ' + b"1" * 200 + b"}",
        b'{"model": 7}',
        b'{"model": "house-' + b"x" * 300 + b'"}',
    ],
)
async def test_a_body_that_is_not_one_plain_object_is_refused(gate: House, vendor: FakeAnthropic, body: bytes) -> None:
    answer = await raw(gate, request(gate, body))

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert vendor.requests == []
    assert gate.charges() == []


@pytest.mark.parametrize("said", [True, False])
async def test_a_body_that_is_too_large_is_refused_and_its_sender_told(
    gate: House, monkeypatch: pytest.MonkeyPatch, said: bool
) -> None:
    """Whether its length is told beforehand or only found out."""
    monkeypatch.setattr(http, "MAX_BODY_BYTES", 100_000)
    large = b"x" * 3_000_000

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(large), 65_536):
            yield large[start : start + 65_536]

    async with gate.client() as client:
        answer = await client.post("/v1/messages", content=large if said else pieces())

    assert answer.status_code == 413


async def test_a_request_that_never_ends_is_hung_up_on(gate: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "IDLE_S", 0.2)

    assert await raw(gate, b"POST /v1/messages HTTP/1.1\r\nhost: gate\r\nx-slow") == b""


@pytest.mark.parametrize("token", ["", "nobody"])
async def test_a_token_nobody_has_is_refused(gate: House, token: str) -> None:
    """With 403: on a 401 clients go on for minutes."""
    async with gate.client(token=token) as client:
        answer = await client.post("/v1/messages", json=ASKED)

    assert error_of(answer) == (403, "permission_error", None)


async def test_a_token_ends_with_its_attempt(gate: House, vendor: FakeAnthropic) -> None:
    gate.passes.revoke(gate.granted)

    assert (await gate.ask()).status_code == 403
    assert vendor.requests == []


async def test_the_lease_counts_not_the_token_alone(gate: House, vendor: FakeAnthropic) -> None:
    """A job that somebody else took back in the database may not spend, nor one that is being cancelled."""
    gate.sql("UPDATE jobs SET cancel = 1")

    assert error_of(await gate.ask()) == (403, "permission_error", "afk_attempt_over")
    assert vendor.requests == []


# --- refusals -----------------------------------------------------------------------------------------------------


async def first_of(calls: list[asyncio.Future[httpx.Response]], count: int) -> list[httpx.Response]:
    """The answers of those that end first."""
    answers = []
    for call in asyncio.as_completed(calls, timeout=PATIENCE_S):
        answers.append(await call)
        if len(answers) == count:
            break
    return answers


async def test_of_forty_calls_at_once_the_cap_lets_three_through(tmp_path: Path, vendor: FakeAnthropic) -> None:
    release = threading.Event()
    vendor.default = Reply.hang(release)
    async with house(tmp_path, vendor.url, budget=BudgetConfig(daily_usd=MicroUsd(4 * HOLD - 1))) as gate:
        calls = [asyncio.ensure_future(gate.ask()) for _ in range(40)]

        refused = await first_of(calls, 37)
        await arrived(vendor, 3)
        assert {error_of(answer)[2] for answer in refused} == {"afk_daily_cap"}
        assert len(vendor.requests) == 3

        release.set()
        await asyncio.gather(*calls)
        assert gate.charges() == [("settled", COST, None)] * 3
        assert len(vendor.requests) == 3


async def test_a_refusal_is_an_answer_that_clients_stop_on(tmp_path: Path, vendor: FakeAnthropic) -> None:
    async with house(tmp_path, vendor.url, budget=BudgetConfig(daily_usd=MicroUsd(HOLD - 1))) as gate:
        answer = await gate.ask()

        assert error_of(answer) == (402, "billing_error", "afk_daily_cap")
        assert answer.headers["x-should-retry"] == "false"
        assert gate.granted.refusal is not None
        assert gate.granted.refusal.gate == "cap:day"
    assert vendor.requests == []


@pytest.mark.parametrize("where", ["outside", "now"])
async def test_a_stop_refuses_also_between_the_hold_and_the_first_byte(
    gate: House, vendor: FakeAnthropic, where: str
) -> None:
    """The hold of a call that was admitted and then kept here is given back."""
    gate.stop[where] = "a STOP file"

    answer = await gate.ask()

    assert error_of(answer) == (503, "api_error", "afk_stopped")
    assert answer.headers["x-should-retry"] == "false"
    assert vendor.requests == []
    assert gate.charges() == ([] if where == "outside" else [("released", 0, "not sent: afk_stopped")])


async def test_a_ledger_that_cannot_be_written_refuses(gate: House, vendor: FakeAnthropic) -> None:
    gate.sql("CREATE TRIGGER broken BEFORE INSERT ON charges BEGIN SELECT RAISE(ABORT, 'the disk is odd'); END")

    assert error_of(await gate.ask()) == (503, "api_error", "afk_ledger")
    assert vendor.requests == []


# --- every way to end ---------------------------------------------------------------------------------------------


async def test_a_line_that_breaks_after_the_last_count_is_no_failure(gate: House, vendor: FakeAnthropic) -> None:
    """The cost is known and the breaker has heard of a success; the broken end changes neither."""
    vendor.script(Reply.cut(8))  # `message_stop` is the eighth event of a one-word answer; the body's end is missing
    async with (
        gate.client() as client,
        client.stream("POST", "/v1/messages", json={**ASKED, "stream": True}) as answer,
    ):
        with pytest.raises(httpx.RemoteProtocolError):
            await answer.aread()

    assert await gate.ended() == [("settled", COST, None)]
    assert gate.sql("SELECT count(*) FROM breakers") == [(0,)]


async def test_a_redirect_is_not_followed_with_the_key(gate: House, vendor: FakeAnthropic) -> None:
    with FakeAnthropic() as thief:
        vendor.script(Reply(status=307, headers={"location": f"{thief.url}/v1/messages"}, body=b"{}"))
        answer = await gate.ask()

        assert answer.status_code == 502
        assert "location" not in answer.headers
        assert thief.requests == []


async def test_a_cookie_of_one_answer_goes_along_with_no_other_call(gate: House, vendor: FakeAnthropic) -> None:
    vendor.script(Reply(headers={"set-cookie": "job=1; Path=/"}))
    await gate.ask()
    await gate.ask()

    assert [call.headers.get("cookie") for call in vendor.requests] == [None, None]


async def test_an_upstream_that_quotes_its_key_does_not_show_it_to_the_child(
    gate: House, vendor: FakeAnthropic
) -> None:
    vendor.script(Reply.error(401, "authentication_error", f"{KEY} is not known here"))

    answer = await gate.ask()

    assert KEY not in answer.text
    assert "[redacted] is not known here" in answer.text
    assert not gate.sql("SELECT 1 FROM breakers WHERE reason LIKE ?", f"%{KEY}%")


@pytest.mark.parametrize("split", [None, 1, 7, 64])
async def test_a_key_that_is_quoted_in_a_stream_is_not_shown_wherever_it_is_cut(
    gate: House, vendor: FakeAnthropic, split: int | None
) -> None:
    vendor.script(replace(Reply.ok(f"the key is {KEY} they say"), split=split))

    answer = await gate.ask(stream=True)

    assert KEY not in answer.text
    assert "[redacted]" in answer.text
    assert "message_stop" in answer.text
    assert gate.sql("SELECT state FROM charges") == [("settled",)]


async def test_a_header_of_any_bytes_does_no_harm(gate: House) -> None:
    data = request(gate, BODY, "connection: close", "anthropic-beta: @").replace(b"@", b"caf\xe9")

    answer = await raw(gate, data)

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert len(gate.charges()) == 1


async def test_a_fault_of_ours_keeps_the_hold_and_answers_the_client(
    gate: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever went wrong between hold and settle, nobody waits for ever and no money is forgotten."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(flight, "read", broken)
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # it is raised on, for the runner's log

    answer = await gate.ask()

    assert error_of(answer)[:2] == (500, "api_error")
    assert gate.charges() == [("held", HOLD, "a fault of the gate: ZeroDivisionError")]


# --- who leaves, who is cut ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [1, 2])
async def test_the_end_of_an_attempt_cuts_its_call_and_keeps_the_hold(
    gate: House, vendor: FakeAnthropic, times: int
) -> None:
    """The bytes stop: the line to the upstream is closed, however often the end is said."""
    vendor.script(Reply.hang(threading.Event()))
    call = asyncio.ensure_future(gate.ask())
    await arrived(vendor)

    for _ in range(times):
        gate.passes.revoke(gate.granted)
        await asyncio.sleep(0)

    assert error_of(await call) == (503, "permission_error", "afk_attempt_over")
    assert gate.charges() == [("held", HOLD, "cut in flight, its cost is not known")]
    assert await asyncio.to_thread(vendor.requests[0].gone.wait, PATIENCE_S)


async def test_an_attempt_that_ends_while_its_hold_is_written_sends_nothing(
    gate: House, vendor: FakeAnthropic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hold is given back, for the upstream never heard of the call."""
    hold = Book.hold

    async def hold_and_lose(self: Book, call: object) -> object:
        held = await hold(self, call)  # type: ignore[arg-type]
        gate.passes.revoke(gate.granted)
        return held

    monkeypatch.setattr(Book, "hold", hold_and_lose)

    assert error_of(await gate.ask())[2] == "afk_attempt_over"
    assert [charge[:2] for charge in gate.charges()] == [("released", 0)]
    assert vendor.requests == []


async def test_a_call_cut_before_its_first_step_gives_its_hold_back(
    gate: House, vendor: FakeAnthropic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that is cancelled before it began runs no handler of its own."""
    ensure = asyncio.ensure_future

    def cancelled_at_once(work: object) -> object:
        task = ensure(work)  # type: ignore[call-overload]
        if getattr(work, "__qualname__", "") == "Flight.run":
            task.cancel()
        return task

    monkeypatch.setattr("runner.gate.calls.asyncio.ensure_future", cancelled_at_once)

    assert error_of(await gate.ask())[2] == "afk_attempt_over"
    assert [charge[:2] for charge in gate.charges()] == [("released", 0)]
    assert vendor.requests == []


# --- breaker ------------------------------------------------------------------------------------------------------


async def test_ten_callers_of_a_half_open_breaker_make_one_trial(gate: House, vendor: FakeAnthropic) -> None:
    """The others are refused meanwhile; its success lets all through."""
    vendor.default = Reply.error(500)
    for _ in range(5):
        await gate.ask()
    assert error_of(await gate.ask()) == (503, "api_error", "afk_breaker_open")
    assert len(vendor.requests) == 5
    release = threading.Event()
    vendor.default = Reply.hang(release)
    gate.clock.advance(120_000)

    calls = [asyncio.ensure_future(gate.ask()) for _ in range(10)]
    refused = await first_of(calls, 9)
    await arrived(vendor, 6)
    assert {error_of(each)[2] for each in refused} == {"afk_breaker_open"}
    assert len(vendor.requests) == 6

    release.set()
    answers = await asyncio.gather(*calls)
    assert sorted(answer.status_code for answer in answers) == [200, *[503] * 9]
    assert gate.sql("SELECT state FROM breakers WHERE name = ?", BREAKER) == [("closed",)]
    assert (await gate.ask()).status_code == 200


async def test_a_trial_that_is_cut_leaves_the_next_caller_to_try(gate: House, vendor: FakeAnthropic) -> None:
    """It said nothing about the upstream."""
    vendor.script(*[Reply.error(500)] * 5, Reply.hang(threading.Event()))
    for _ in range(5):
        await gate.ask()
    gate.clock.advance(120_000)
    other = gate.another()
    trial = asyncio.ensure_future(gate.ask())
    await arrived(vendor, 6)

    gate.passes.revoke(gate.granted)
    await trial
    async with gate.client(token=other.token) as client:
        answer = await client.post("/v1/messages", json=ASKED)

    assert answer.status_code == 200
    assert gate.sql("SELECT state FROM breakers") == [("closed",)]


# --- the small job API --------------------------------------------------------------------------------------------


async def test_a_step_is_recorded_under_the_lease_alone(gate: House) -> None:
    async with gate.client() as client:
        first = await client.put("/afk/v1/steps/a%2Fb", json={"result": {"n": 1}})
        gate.sql("UPDATE jobs SET lease = 'taken'")
        second = await client.put("/afk/v1/steps/c", json={"result": 1})

    assert (first.status_code, second.status_code) == (200, 409)
    assert gate.sql("SELECT name, result FROM steps") == [("a/b", '{"n": 1}')]


async def test_what_a_payload_says_and_records_holds_no_secret(gate: House) -> None:
    async with gate.client() as client:
        await client.put("/afk/v1/steps/env", json={"result": f"found {KEY}"})
        await client.post("/afk/v1/log", json={"text": f"found {KEY}"})

    assert KEY not in str(gate.sql("SELECT result FROM steps")) + str(gate.sql("SELECT text FROM events"))


# --- limits -------------------------------------------------------------------------------------------------------


async def test_without_a_good_token_no_byte_of_body_is_taken_in(gate: House) -> None:
    """The refusal comes while the body is still owed; a request that needs no token may bring none."""
    head = "POST /v1/messages HTTP/1.1\r\nhost: gate\r\nx-api-key: nobody\r\ncontent-length: 30000000\r\n\r\n"
    free = "GET / HTTP/1.1\r\nhost: gate\r\ncontent-length: 3000000\r\n\r\n"

    assert (await raw(gate, head.encode())).startswith(b"HTTP/1.1 403 ")
    assert (await raw(gate, free.encode() + b"x", end=True)).startswith(b"HTTP/1.1 413 ")


async def test_one_connection_too_many_is_told_so(gate: House) -> None:
    gate.gate._most = 1
    async with gate.client() as client:
        assert (await client.get("/v1/models")).status_code == 200
        assert (await raw(gate, b"", end=True)).startswith(b"HTTP/1.1 503 ")
    async with asyncio.timeout(PATIENCE_S):
        while gate.gate._open:  # noqa: ASYNC110 - nobody is told when a connection is closed
            await asyncio.sleep(0.005)
    assert (await gate.ask()).status_code == 200


async def test_one_attempt_cannot_shut_out_the_others(gate: House) -> None:
    """Neither with connections of its own nor with silent ones that say nothing of whose they are."""
    gate.gate._most = 4 * 2  # so that one attempt may have two
    other = gate.another()
    async with gate.client() as first, gate.client() as second:
        for client in (first, second):
            assert (await client.get("/v1/models")).status_code == 200
        assert error_of(await gate.ask())[0] == 503

        silent = [await asyncio.open_connection("127.0.0.1", gate.port) for _ in range(20)]
        async with gate.client(token=other.token) as client:
            assert (await client.post("/v1/messages", json=ASKED)).status_code == 200
        assert (await first.get("/v1/models")).status_code == 200  # whoever said whose it is stays
        assert await silent[0][0].read() == b""
        for _, writer in silent:
            writer.close()


@pytest.mark.parametrize(
    ("lines", "refused"),
    [
        (["anthropic-beta: context-1m-2025-08-07"], True),
        (["anthropic-beta: tools-2024-04-04, Context-1M-2025-08-07"], True),
        (["anthropic-beta: context-2m-2030-01-01", "anthropic-beta: tools-2024-04-04"], True),
        (["anthropic-beta: context-management-2025-06-27,claude-code-20250219"], False),
    ],
)
async def test_a_beta_that_widens_the_window_is_refused(
    gate: House, vendor: FakeAnthropic, lines: list[str], refused: bool
) -> None:
    """In any of several headers, anywhere in a list; the others go on as they came."""
    answer = await raw(gate, request(gate, BODY, *lines, "connection: close"))

    assert answer.startswith(b"HTTP/1.1 400 " if refused else b"HTTP/1.1 200 ")
    assert (b"afk_unbounded" in answer) == refused
    if not refused:
        assert vendor.requests[0].headers["anthropic-beta"] == lines[0].removeprefix("anthropic-beta: ")


async def test_a_cost_that_could_not_be_written_down_is_tried_again(
    gate: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call does not wait for it."""
    settle, faults = ledger.settle, [StoreBusy("busy")] * 2

    def busy(*args: Any, **named: Any) -> None:
        if faults:
            raise faults.pop()
        settle(*args, **named)

    monkeypatch.setattr(ledger, "settle", busy)
    monkeypatch.setattr(book, "AGAIN_S", 0.01)

    assert (await gate.ask()).status_code == 200
    assert await gate.ended() == [("settled", COST, None)]
