"""A local model is free as long as nothing says that it is answered elsewhere."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from runner.config import UpstreamConfig
from runner.gate import local
from runner.gate.local import LocalModels, RemoteWatch
from tests.runner.gate.world import ASKED, House, error_of, house
from tests.upstream import FakeAnthropic, Reply

FORWARDED = Reply(body=b'{"remote_host": "https://cloud.example:443", "remote_model": "large"}')


@pytest.fixture
def daemon() -> Iterator[FakeAnthropic]:
    with FakeAnthropic() as server:
        yield server


@pytest.fixture
async def gate(tmp_path: Path, daemon: FakeAnthropic) -> AsyncIterator[House]:
    """In front of a local upstream: what it serves has no price of its own."""
    async with house(tmp_path, daemon.url, upstream={"local": True, "key": None}) as made:
        yield made


def ask(gate: House, model: str = "house-cellar", **fields: Any) -> Any:
    return gate.ask(model=model, **fields)


async def test_a_model_of_a_local_upstream_costs_nothing(gate: House, daemon: FakeAnthropic) -> None:
    """Also of a server that has never heard of the question whether it forwards."""
    answer = await ask(gate)

    assert answer.status_code == 200
    assert gate.charges() == [("settled", 0, None)]


async def test_the_daemon_is_asked_once_for_each_model(gate: House, daemon: FakeAnthropic) -> None:
    """Not for every call, also when many come at once."""
    await asyncio.gather(*(ask(gate) for _ in range(8)))
    await ask(gate)
    await ask(gate, "house-barrel")

    assert daemon.shown == ["house-cellar", "house-barrel"]


async def test_it_is_asked_again_after_a_while(
    gate: House, daemon: FakeAnthropic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model can be replaced by one of the same name."""
    monkeypatch.setattr(local, "KNOWN_S", -1)
    await ask(gate)
    daemon.show["house-cellar"] = FORWARDED

    assert error_of(await ask(gate))[2] == "afk_unknown_model"


@pytest.mark.parametrize("name", ["house-model:cloud", "house-oss:120b-cloud", "house-model:CLOUD"])
async def test_a_name_of_the_cloud_is_refused_unasked(gate: House, daemon: FakeAnthropic, name: str) -> None:
    answer = await ask(gate, name)

    assert error_of(answer) == (400, "invalid_request_error", "afk_unknown_model")
    assert "forwarded to a paid service" in answer.text
    assert "local = true" in answer.text
    assert (daemon.requests, daemon.shown, gate.charges()) == ([], [], [])


async def test_a_copied_name_does_not_hide_where_it_goes(gate: House, daemon: FakeAnthropic) -> None:
    daemon.show["house-cellar"] = FORWARDED

    answer = await ask(gate)

    assert error_of(answer) == (400, "invalid_request_error", "afk_unknown_model")
    assert (daemon.requests, gate.charges()) == ([], [])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("split", [None, 1])
async def test_an_answer_that_says_it_came_from_elsewhere_trips(
    gate: House, daemon: FakeAnthropic, stream: bool, split: int | None
) -> None:
    """It may have cost something that nobody can count, so no second call leaves."""
    mark = b'{"remote_host": "https://cloud.example:443", "model": "x"}'
    event = b"event: message_start\ndata: " + mark + b"\n\n"
    daemon.script(Reply(pieces=(event,), split=split) if stream else Reply(body=mark))

    await ask(gate, stream=stream)
    second = await ask(gate)

    assert [charge[0] for charge in await gate.ended()] == ["held"]
    assert "paid service" in gate.charges()[0][2]
    assert error_of(second)[2] == "afk_breaker_open"
    assert "paid service" in second.text


async def test_words_of_an_answer_are_no_mark(gate: House, daemon: FakeAnthropic) -> None:
    """A model may well write about it."""
    text = 'Ollama says {"remote_host": "https://cloud.example"} then.'
    daemon.script(Reply(text=text), Reply(text=text, split=3))

    whole, streamed = await ask(gate), await ask(gate, stream=True)

    assert whole.json()["content"][0]["text"] == text
    assert streamed.status_code == 200
    assert [charge[0] for charge in gate.charges()] == ["settled"] * 2


async def test_what_a_model_gives_a_tool_is_no_mark(gate: House, daemon: FakeAnthropic) -> None:
    """A tool may well have a remote host among its arguments."""
    used = {"type": "tool_use", "id": "t", "name": "ssh", "input": {"remote_host": "web1"}}
    usage = {"input_tokens": 1, "output_tokens": 1}
    daemon.script(Reply(body=json.dumps({"model": "house-cellar", "content": [used], "usage": usage}).encode()))

    answer = await ask(gate)

    assert answer.status_code == 200
    assert [charge[0] for charge in gate.charges()] == ["settled"]


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ('{"model":"x","remote_host":"https://a"}', True),
        ('{"remote_model": "gpt"}', True),
        ('{ "remote_host"\n:\t"x"}', True),
        ('{"remote_host": ""}', False),
        ('{"remote_host": null}', False),
        (json.dumps({"text": '{"remote_host": "x"}'}), False),
        (json.dumps({"text": json.dumps({"t": '{"remote_host": "x"}'})}), False),
    ],
)
def test_the_mark_is_seen_wherever_the_bytes_are_cut(text: str, seen: bool) -> None:
    for size in range(1, len(text) + 1):
        watch, raw = RemoteWatch(), text.encode()
        assert any(watch.sees(raw[at : at + size]) for at in range(0, len(raw), size)) is seen


async def test_a_daemon_that_is_not_there_is_left_to_the_call(tmp_path: Path) -> None:
    """The call then says what is wrong, and nothing was spent."""
    async with house(tmp_path, "http://127.0.0.1:1", upstream={"local": True, "key": None}) as gate:
        answer = await ask(gate)

        assert answer.status_code == 502
        assert [charge[:2] for charge in gate.charges()] == [("released", 0)]


@pytest.mark.parametrize(
    ("status", "body", "forwarded"),
    [
        (200, b'{"remote_host": "https://a"}', True),
        (200, b'{"remote_model": "b"}', True),
        (200, b'{"remote_host": "", "details": {}}', False),
        (200, b'{"error": "unexpected endpoint"}', False),
        (200, b"[]", False),
        (200, b"<html>", False),
        (200, b"[" * 100_000, False),
        (404, b'{"remote_host": "https://a"}', False),
        (500, b"", False),
    ],
)
async def test_only_a_plain_word_of_the_daemon_counts(
    daemon: FakeAnthropic, status: int, body: bytes, forwarded: bool
) -> None:
    """A server that is no Ollama may answer anything; the path of the upstream is not that of the question."""
    daemon.show["qwen"] = Reply(status=status, body=body)
    upstream = UpstreamConfig(name="cellar", url=f"{daemon.url}/v1", wire="openai", local=True)

    async with httpx.AsyncClient(trust_env=False) as client:
        said = await LocalModels(client).forwarded(upstream, "qwen", last_look=lambda: None)

    assert (said is not None) is forwarded
    assert daemon.shown == ["qwen"]


async def test_after_a_stop_the_daemon_is_not_even_asked(gate: House, daemon: FakeAnthropic) -> None:
    gate.stop["now"] = "a STOP file"

    assert error_of(await ask(gate))[2] == "afk_stopped"
    assert (daemon.requests, daemon.shown) == ([], [])


async def test_an_upstream_that_is_not_local_is_not_asked(tmp_path: Path, daemon: FakeAnthropic) -> None:
    async with house(tmp_path, daemon.url) as gate, gate.client() as client:
        assert (await client.post("/v1/messages", json=ASKED)).status_code == 200

    assert daemon.shown == []
