"""The second wire in the real programs: a chat that is paid for, and an agent that asks on the wrong wire."""

from __future__ import annotations

import pytest

from tests.e2e.vendor import COST, KEY, spent
from tests.e2e.world import World, eventually, noon
from tests.upstream import FakeAnthropic

_TOML = """
timezone = "{zone}"
[budget]
daily_usd = "10.00"
[upstreams.house]
url = "{url}/v1"
wire = "openai"
key = "env:HOUSE_KEY"
default_output_tokens = 200
[models]
"house-*" = "house"
[prices."house-model"]
input = "0"
output = "1000"
[tasks.letter]
kind = "prompt"
model = "house-model"
prompt = "Write a letter."
"""
_TASKS = """
import http.client, json
from urllib.parse import urlsplit
from runner import task

@task("chat")
def chat(ctx, payload):
    line = http.client.HTTPConnection(urlsplit(ctx._gate).netloc, timeout=120)
    asked = {"model": "house-model", "messages": [{"role": "user", "content": "Hello"}], **payload}
    line.request("POST", "/v1/chat/completions", json.dumps(asked), {"authorization": f"Bearer {ctx._token}"})
    answer = line.getresponse()
    body = answer.read().decode()
    return [answer.status, body if payload.get("stream") else json.loads(body)]
"""


@pytest.fixture
def home(afk: World, vendor: FakeAnthropic) -> World:
    afk.env["HOUSE_KEY"] = KEY
    return afk.init(_TOML.format(zone=noon(), url=vendor.url), tasks=_TASKS)


def test_a_chat_is_limited_and_paid_for(home: World, vendor: FakeAnthropic) -> None:
    """Whole and streamed, with the vendor's key and the upstream's usual limit, at the true cost."""
    home.json("enqueue", "chat", "--key", "whole")
    home.json("enqueue", "chat", '{"stream": true}', "--key", "streamed")
    home.start()

    eventually(lambda: home.counts() == {"done": 2})

    status, answer = home.json("job", "whole")["result"]
    assert (status, answer["choices"][0]["message"]["content"]) == (200, "Understood.")
    assert home.json("job", "streamed")["result"][1].endswith("data: [DONE]\n\n")
    assert spent(home) == (2 * COST, 0)
    assert {call.headers["authorization"] for call in vendor.requests} == {f"Bearer {KEY}"}
    assert {call.body["max_tokens"] for call in vendor.requests} == {200}


def test_an_agent_on_the_wrong_wire_is_dead_with_a_sentence(home: World, vendor: FakeAnthropic) -> None:
    """Nothing is translated, and trying again would change nothing."""
    home.json("enqueue", "letter", "--key", "letter")
    home.start()

    job = eventually(lambda: (found := home.json("job", "letter"))["status"] == "dead" and found)

    assert "its upstream house speaks the OpenAI wire" in job["error"]
    assert job["attempts"] == 1
    assert vendor.requests == []
