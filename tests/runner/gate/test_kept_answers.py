"""Answers that were paid for and not recorded are kept for the next attempt of their job, and for nothing else."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from typing import Any

import httpx
import pytest

from runner.gate import book
from runner.gate.calls import KEEP
from runner.gate.passes import Pass
from runner.store import answers, charges, leases
from runner.work.context import AsyncContext, Context
from tests.factories import NOW
from tests.runner.gate.world import ASKED, COST, House, error_of, pass_of
from tests.upstream import FakeAnthropic, Reply, message_events

RECORDED = {KEEP: "turn%201"}


def kept(gate: House) -> dict[str, tuple[str, str]]:
    with closing(sqlite3.connect(gate.path)) as db:
        return answers.of_job(db, gate.job.id)


def answer_with(content: bytes) -> bytes:
    return (
        b'{"type": "message", "model": "house-model", "content": %s, "usage": {"input_tokens": 10, "output_tokens": 5}}'
        % content
    )


def next_attempt(gate: House) -> Pass:
    """The job is claimed once more: what the register hands to the gate for it."""
    again = replace(pass_of(gate.job), n=2, kept=kept(gate), token="of attempt 2")
    gate.passes.issue(again)
    return again


async def ask(gate: House, granted: Pass, *, headers: dict[str, str] = RECORDED, **body: Any) -> httpx.Response:
    async with gate.client(token=granted.token) as client:
        return await client.post("/v1/messages", json={**ASKED, **body}, headers=headers)


async def test_the_next_attempt_gets_it_and_pays_nothing(gate: House, vendor: FakeAnthropic) -> None:
    """Once: who asks the same again in one attempt wants another answer."""
    bought = await ask(gate, gate.granted)
    again = next_attempt(gate)
    given = await ask(gate, again)

    assert given.json() == bought.json()
    assert (len(vendor.requests), gate.charges()) == (1, [("settled", COST, None)])
    assert again.unanswered is None

    await ask(gate, again)
    assert len(vendor.requests) == 2
    assert gate.sql("SELECT level, attempt FROM events WHERE event = 'call.kept'") == [("info", 2)]


@pytest.mark.parametrize(
    "other", [{"max_tokens": 99}, {"messages": [{"role": "user", "content": "Bye"}]}, {"stream": True}]
)
async def test_another_question_is_asked(gate: House, vendor: FakeAnthropic, other: dict[str, Any]) -> None:
    await ask(gate, gate.granted)

    assert (await ask(gate, next_attempt(gate), **other)).status_code == 200
    assert len(vendor.requests) == 2


async def test_who_does_not_record_gets_a_new_answer_every_time(gate: House, vendor: FakeAnthropic) -> None:
    for headers in ({}, {KEEP: ""}, {KEEP: "x" * 201}, {KEEP: "%00"}):
        await ask(gate, gate.granted, headers=headers)
    assert kept(gate) == {}

    await ask(gate, gate.granted)
    await ask(gate, next_attempt(gate), headers={})
    assert len(vendor.requests) == 6


async def test_what_was_asked_side_by_side_is_all_kept_however_much_alike(gate: House, vendor: FakeAnthropic) -> None:
    """The third asks what the first asks: the job wants two answers to it, and has paid for both."""
    asked: dict[str, dict[str, Any]] = {"ask:a:1": {}, "ask:b:1": {"max_tokens": 99}, "ask:a:2": {}}
    vendor.script(*(Reply.ok(name) for name in asked))
    bought = {name: await ask(gate, gate.granted, headers={KEEP: name}, **body) for name, body in asked.items()}
    again = next_attempt(gate)
    given = {name: await ask(gate, again, headers={KEEP: name}, **body) for name, body in asked.items()}

    assert {name: answer.json() for name, answer in given.items()} == {n: b.json() for n, b in bought.items()}
    assert len(vendor.requests) == 3


async def test_a_task_that_asks_side_by_side_pays_once(
    gate: House, vendor: FakeAnthropic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first attempt loses the gate between the answers and their records."""

    def context(granted: Pass) -> Context:
        return Context(gate=gate.gate.url, token=granted.token, key="job", attempt=granted.n, task="digest", steps={})

    async def ask_all(context: AsyncContext) -> list[str | BaseException]:
        asks = (context.ask(words, model="house-model") for words in ("Hello", "Bye", "Hello"))
        return await asyncio.gather(*asks, return_exceptions=True)

    first = context(gate.granted)
    monkeypatch.setattr(first, "_call", lambda *_: 1 / 0)
    lost = await ask_all(AsyncContext(first))
    found = await ask_all(AsyncContext(context(next_attempt(gate))))

    assert [type(one) for one in lost] == [ZeroDivisionError] * 3
    assert found == ["Understood."] * 3
    assert len(vendor.requests) == 3
    assert gate.sql("SELECT count(*) FROM steps") == [(3,)]
    assert kept(gate) == {}


async def test_an_answer_goes_with_the_step_that_records_it_and_with_no_other(gate: House) -> None:
    for name in ("turn%201", "ask:1"):
        await ask(gate, gate.granted, headers={KEEP: name})
    async with gate.client() as client:
        await client.put("/afk/v1/steps/fetch", json={"result": "Hello"})
        before = set(kept(gate))
        await client.put("/afk/v1/steps/turn%201", json={"result": "Hello"})

    assert before == {"turn 1", "ask:1"}
    assert set(kept(gate)) == {"ask:1"}


async def test_only_the_newest_of_a_job_are_kept(gate: House) -> None:
    with closing(sqlite3.connect(gate.path)) as db:
        for number in (0, *range(answers.MOST_KEPT), 0):
            answers.keep(
                db, gate.job.id, lease=gate.job.lease or "", step=f"ask:{number}", question=f"{number}", body="{}"
            )
        answers.keep(db, gate.job.id, lease=gate.job.lease or "", step="one more", question="x", body="{}")
        left = set(answers.of_job(db, gate.job.id))

    assert left == {"ask:0", "one more", *(f"ask:{number}" for number in range(2, answers.MOST_KEPT))}


async def test_an_answer_whose_cost_is_written_late_is_not_kept(
    gate: House, vendor: FakeAnthropic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client has had it by then, and may have recorded it: it must not come back."""
    monkeypatch.setattr(book, "AGAIN_S", 0.01)
    release = threading.Event()
    vendor.script(Reply.hang(release))
    call = asyncio.ensure_future(ask(gate, gate.granted))
    await asyncio.to_thread(vendor.wait_for, 1)
    connection = gate.writer._database.connection
    connection.execute("PRAGMA query_only = ON")
    release.set()
    assert (await call).status_code == 200
    connection.execute("PRAGMA query_only = OFF")

    assert await gate.ended() == [("settled", COST, None)]
    assert kept(gate) == {}


@pytest.mark.parametrize("over", ["its charge", "its attempt"])
async def test_an_answer_that_comes_after_the_end_is_not_kept(gate: House, vendor: FakeAnthropic, over: str) -> None:
    release = threading.Event()
    vendor.script(Reply.hang(release))
    call = asyncio.ensure_future(ask(gate, gate.granted))
    await asyncio.to_thread(vendor.wait_for, 1)
    with closing(sqlite3.connect(gate.path, isolation_level=None)) as db:
        if over == "its charge":
            ((charge,),) = db.execute("SELECT id FROM charges").fetchall()
            charges.release(db, charge, note="ended by hand", now=NOW)
        else:
            token = gate.job.lease or ""
            leases.put_back(db, id=gate.job.id, token=token, not_before=NOW, gate="x", fact="x", counted=False)
    release.set()
    await call

    assert kept(gate) == {}


@pytest.mark.parametrize(
    "reply",
    [
        Reply.error(500, "api_error", "no"),
        Reply(body=b"not an answer"),
        Reply(body=b'{"type": "message"}'),
        Reply(body=b"".join(message_events(Reply(), ASKED)), headers={"content-type": "text/event-stream"}),
        Reply(body=answer_with(b"null")),
        Reply(body=answer_with(b'[{"type": "text"}]')),
        Reply(body=answer_with(b'[{"type": "text", "text": "x", "odd": NaN}]')),
    ],
    ids=["an error", "no answer", "no usage", "a stream unasked", "no content", "no text", "no JSON"],
)
async def test_what_was_not_paid_for_or_cannot_be_recorded_is_not_kept(
    gate: House, vendor: FakeAnthropic, reply: Reply
) -> None:
    vendor.script(reply)
    await ask(gate, gate.granted)

    assert kept(gate) == {}


async def test_an_answer_too_long_for_a_step_is_not_kept(
    gate: House, vendor: FakeAnthropic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.gate.flight.MOST_KEPT_BYTES", 10)
    await ask(gate, gate.granted)

    assert gate.charges() == [("settled", COST, None)]
    assert kept(gate) == {}


async def test_under_a_stop_it_is_not_given(gate: House) -> None:
    """A kill ends everything, also what costs nothing."""
    await ask(gate, gate.granted)
    again = next_attempt(gate)
    gate.stop["now"] = "a STOP file"

    assert error_of(await ask(gate, again)) == (503, "api_error", "afk_stopped")
    assert set(kept(gate)) == {"turn 1"}
