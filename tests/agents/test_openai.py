"""The real OpenAI SDK and the real `codex` and `opencode` command lines at the gate."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.agents.conftest import INSTALLED, KEY, Bench
from tests.agents.turns import calls, chats, invokes, responds, says

MODEL = "house-model"
COST = 10 + 20 * 5
"""Micro-dollars of a turn of 10 tokens in and 20 out, at $1 and $5 a million."""

SDK = {
    "chat": """
import openai
stream = openai.OpenAI().chat.completions.create(
    model="house-model", messages=[{"role": "user", "content": "Hello"}], stream=True)
print("".join(piece.choices[0].delta.content or "" for piece in stream if piece.choices))
""",
    "responses": """
import openai
stream = openai.OpenAI().responses.create(model="house-model", input="Hello", stream=True)
print([event.response.output_text for event in stream if event.type == "response.completed"][0])
""",
}


@pytest.fixture
def python() -> str:
    """The interpreter that has the SDK."""
    return str(Path(INSTALLED).resolve() / "venv" / "bin" / "python")


@pytest.mark.parametrize("wire", SDK)
def test_the_sdk_as_it_comes_is_led_to_the_gate(bench: Bench, python: str, confinable: None, wire: str) -> None:
    """Its address and key are in its environment; the cap on the answer and the usage are put in on the way."""
    bench.vendor.script((chats if wire == "chat" else responds)("Hello yourself.", model=MODEL))

    job = bench.task([python, "-c", SDK[wire]], wire="openai").run()

    assert (job["status"], job["result"]) == ("done", "Hello yourself.\n")
    (call,) = bench.vendor.requests
    assert call.headers["authorization"] == f"Bearer {KEY}"
    assert 4000 in (
        call.body.get("max_completion_tokens"),
        call.body.get("max_output_tokens"),
        call.body.get("max_tokens"),
    )
    assert wire != "chat" or call.body["stream_options"]["include_usage"] is True
    assert bench.charges() == [("settled", COST)]


@pytest.mark.parametrize("wire", SDK)
def test_the_sdk_stops_at_the_cap(bench: Bench, python: str, confinable: None, wire: str) -> None:
    """At once, though it would try again by itself, and with our sentence."""
    job = bench.task(
        [python, "-c", f"import sys\nsys.stderr = sys.stdout\n{SDK[wire]}"], wire="openai", daily="0.01"
    ).run()

    assert bench.vendor.requests == []
    assert "today's cap of $0.01 holds" in job["attempt"]["error"] + job["attempt"]["tail"]
    assert (job["attempt"]["outcome"], job["attempts"], job["waiting_gate"]) == ("snoozed", 0, "cap:day")
    assert bench.afk.one("SELECT count(*) FROM events WHERE event = 'call.refused'") == 1


@pytest.fixture
def codex(program: Callable[[str], str]) -> list[str]:
    """One prompt outside of a repository. Its own sandbox is off: it would need a namespace inside ours."""
    flags = ["--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "--model", MODEL]
    return [program("codex"), "exec", *flags, "List the files here"]


def test_codex_runs_a_tool_loop_through_the_gate(bench: Bench, codex: list[str], confinable: None) -> None:
    """It ignores OPENAI_BASE_URL; the settings it is given lead it to the gate all the same."""
    bench.vendor.script(
        invokes("exec_command", model=MODEL, cmd="echo the-tool-ran"), responds("I saw the files.", model=MODEL)
    )

    job = bench.task(codex, wire="openai").run()

    assert (job["status"], job["result"]) == ("done", "I saw the files.\n")
    first, second = bench.vendor.requests
    assert {call.headers["authorization"] for call in (first, second)} == {f"Bearer {KEY}"}
    assert "the-tool-ran" in json.dumps(second.body["input"][-1])
    assert bench.charges() == [("settled", COST)] * 2


def test_codex_ends_at_the_cap_and_says_why(bench: Bench, codex: list[str], confinable: None) -> None:
    job = bench.task(codex, wire="openai", daily="0.01").run()

    assert bench.vendor.requests == []
    assert "today's cap of $0.01 holds" in job["attempt"]["error"] + job["attempt"]["tail"]
    assert (job["attempt"]["outcome"], job["attempts"], job["waiting_gate"]) == ("snoozed", 0, "cap:day")


def test_settings_in_the_work_tree_do_not_lead_codex_elsewhere(
    bench: Bench, codex: list[str], confinable: None
) -> None:
    settings = bench.tree / ".codex" / "config.toml"
    settings.parent.mkdir()
    address = f"{bench.elsewhere.url}/v1"
    provider = f'[model_providers.else]\nname = "else"\nbase_url = "{address}"\nwire_api = "responses"\n'
    settings.write_text(f'model_provider = "else"\n{provider}')
    bench.vendor.script(responds("I saw the files.", model=MODEL))

    job = bench.task(codex, wire="openai").run()

    assert (job["status"], job["result"]) == ("done", "I saw the files.\n")
    assert bench.elsewhere.requests == []


def test_opencode_is_led_to_the_gate_past_the_settings_of_its_work_tree(
    bench: Bench, program: Callable[[str], str], confinable: None
) -> None:
    """A project's opencode.json beats its environment, but not the configuration that is in its environment."""
    model = "claude-haiku-4-5"
    leads = {"provider": {"anthropic": {"options": {"baseURL": f"{bench.elsewhere.url}/v1", "apiKey": "sk-elsewhere"}}}}
    (bench.tree / "opencode.json").write_text(json.dumps(leads))
    bench.vendor.default = says("I saw the files.", model=model)
    bench.vendor.script(calls("bash", model=model, command="echo the-tool-ran", description="say so"))

    job = bench.task([program("opencode"), "run", "--model", f"anthropic/{model}", "List the files here"]).run()

    assert job["status"] == "done"
    assert "I saw the files." in job["result"]
    assert {call.headers["x-api-key"] for call in bench.vendor.requests} == {KEY}
    assert bench.elsewhere.requests == []
    assert {state for state, _ in bench.charges()} == {"settled"}
