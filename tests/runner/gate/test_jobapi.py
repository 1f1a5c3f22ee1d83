"""What a payload may write at the gate of actions that cannot be undone: drafts, and no such job of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from runner.gate.jobapi import MOST_DRAFTS
from tests.runner.gate.world import KEY, House, house

ASKED: dict[str, Any] = {"name": "draft:1", "task": "post", "payload": {"to": "all"}, "summary": "Tell everybody."}


@pytest.fixture
async def gate(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path, "http://127.0.0.1:9") as made:
        yield made


async def draft(gate: House, **fields: Any) -> httpx.Response:
    async with gate.client() as client:
        return await client.post("/afk/v1/drafts", json={**ASKED, **fields})


async def test_a_draft_is_written_down_once_with_all_that_performing_it_takes(gate: House) -> None:
    """The same name again is the same draft, whatever it says by then: what a person read is what stands."""
    first = await draft(gate)
    second = await draft(gate, summary="Something else.")

    assert first.json() == {"draft": 1, "state": "waiting", "created": True}
    assert second.json() == {"draft": 1, "state": "waiting", "created": False}
    columns = "job_key, task, n, performs, payload, priority, max_attempts, summary, state"
    assert gate.sql(f"SELECT {columns} FROM drafts") == [
        (gate.job.key, "digest", gate.granted.n, "post", '{"to":"all"}', 2, 1, "Tell everybody.", "waiting")
    ]
    assert gate.sql("SELECT count(*) FROM jobs") == [(1,)]
    assert gate.sql("SELECT level, text FROM events WHERE event = 'draft.waiting'") == [
        ("warn", "draft 1 waits for a person: post: Tell everybody.")
    ]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"task": "pots"}, "did you mean"),
        ({"task": 1}, "an action is drafted as"),
        ({"summary": " "}, "1 to 1,000 characters"),
        ({"summary": "x" * 1_001}, "1 to 1,000 characters"),
        ({"name": ""}, "1 to 200 printable characters"),
        ({"name": "x" * 201}, "1 to 200 printable characters"),
        ({"payload": "x" * 1_000_001}, "1,000,000 are the most"),
        ({"key": "mine"}, "an action is drafted as"),
    ],
)
async def test_what_cannot_be_a_draft_is_refused_in_one_sentence(
    gate: House, fields: dict[str, Any], said: str
) -> None:
    answer = await draft(gate, **fields)

    assert answer.status_code == 400
    assert said in answer.json()["error"]["message"]
    assert gate.sql("SELECT count(*) FROM drafts") == [(0,)]


async def test_a_job_drafts_no_more_than_a_person_can_read(gate: House) -> None:
    for number in range(MOST_DRAFTS):
        assert (await draft(gate, name=f"draft:{number}")).status_code == 200

    again, more = await draft(gate, name="draft:3"), await draft(gate, name="one more")

    assert (again.status_code, more.status_code) == (200, 400)
    assert "has 20 drafts already" in more.json()["error"]["message"]


async def test_a_draft_needs_the_lease_and_holds_no_secret(gate: House) -> None:
    await draft(gate, summary=f"found {KEY}", payload={"key": KEY})
    gate.sql("UPDATE jobs SET lease = 'taken'")
    late = await draft(gate, name="late")

    assert late.status_code == 409
    assert gate.sql("SELECT summary, payload FROM drafts") == [("found [redacted]", '{"key":"[redacted]"}')]


async def test_no_payload_starts_what_cannot_be_undone(gate: House) -> None:
    """It is told the way that there is."""
    async with gate.client() as client:
        answer = await client.post("/afk/v1/jobs", json={"task": "post", "payload": {}})

    assert answer.status_code == 403
    assert "draft it, and a person approves or rejects it" in answer.json()["error"]["message"]
    assert gate.sql("SELECT count(*) FROM jobs WHERE task = 'post'") == [(0,)]
