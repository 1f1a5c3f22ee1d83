"""An answer that was paid for and not recorded is kept for the next attempt of its job, and for nothing else."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from runner.gate.calls import KEEP
from runner.gate.passes import Pass
from runner.store import answers
from tests.runner.gate.world import ASKED, COST, House, error_of, house, pass_of
from tests.upstream import FakeAnthropic, Reply

RECORDED = {KEEP: "1"}


@pytest.fixture
def vendor() -> Iterator[FakeAnthropic]:
    with FakeAnthropic() as server:
        yield server


@pytest.fixture
async def gate(tmp_path: Path, vendor: FakeAnthropic) -> AsyncIterator[House]:
    async with house(tmp_path, vendor.url) as made:
        yield made


def kept(gate: House) -> tuple[str, str] | None:
    with closing(sqlite3.connect(gate.path)) as db:
        return answers.of_job(db, gate.job.id)


def next_attempt(gate: House) -> Pass:
    """The job is claimed once more: what the register hands to the gate for it."""
    again = replace(pass_of(gate.job), n=2, kept=kept(gate))
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
    await ask(gate, gate.granted, headers={})
    assert kept(gate) is None

    await ask(gate, gate.granted)
    await ask(gate, next_attempt(gate), headers={})
    assert len(vendor.requests) == 3


async def test_one_answer_is_kept_and_it_goes_with_the_step_that_records_it(gate: House) -> None:
    await ask(gate, gate.granted)
    first = kept(gate)
    await ask(gate, gate.granted, max_tokens=99)
    second = kept(gate)
    async with gate.client() as client:
        await client.put("/afk/v1/steps/turn%201", json={"result": "Hello"})

    assert first is not None
    assert second is not None
    assert first[0] != second[0]
    assert gate.sql("SELECT name FROM steps") == [("turn 1",)]
    assert gate.sql("SELECT * FROM answers") == []


@pytest.mark.parametrize(
    "reply",
    [Reply.error(500, "api_error", "no"), Reply(body=b"not an answer"), Reply(body=b'{"type": "message"}')],
    ids=["an error", "no answer", "no usage"],
)
async def test_what_was_not_paid_for_is_not_kept(gate: House, vendor: FakeAnthropic, reply: Reply) -> None:
    vendor.script(reply)
    await ask(gate, gate.granted)

    assert kept(gate) is None


async def test_an_answer_too_long_for_a_step_is_not_kept(
    gate: House, vendor: FakeAnthropic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.gate.flight.MOST_KEPT_BYTES", 10)
    await ask(gate, gate.granted)

    assert gate.charges() == [("settled", COST, None)]
    assert kept(gate) is None


async def test_under_a_stop_it_is_not_given(gate: House) -> None:
    """A kill ends everything, also what costs nothing."""
    await ask(gate, gate.granted)
    again = next_attempt(gate)
    gate.stop["now"] = "a STOP file"

    assert error_of(await ask(gate, again)) == (503, "api_error", "afk_stopped")
    assert kept(gate) is not None
