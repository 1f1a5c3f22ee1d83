"""The built-in model uses what it is offered, once each, and judges by the words it counts: always the same way."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runner.gate import offline
from runner.work.judge import question, read_verdicts

TEXT = "The database fails since midnight because its disk is full. The cache is fine."


def tool(name: str, **enums: list[str]) -> dict[str, Any]:
    shape = {"type": "object", "properties": {key: {"enum": values} for key, values in enums.items()}}
    return {"name": name, "input_schema": shape}


TOOLS = [
    tool("read_file", path=["inputs/a.md", "inputs/b.md"]),
    tool("write_output"),
    tool("draft", task=["post"]),
]


def converse(prompt: str, tools: list[dict[str, Any]], *, most: int = 12) -> tuple[list[dict[str, Any]], str]:
    """Calls it made, every one answered, and what it said at last."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": prompt}]
    calls: list[dict[str, Any]] = []
    for _ in range(most):
        body = {"model": "offline/extract", "max_tokens": 500, "messages": messages, "tools": tools}
        message = offline.answer(body)
        assert message == offline.answer(json.loads(json.dumps(body))), "the same request, the same answer"
        (block,) = message["content"]
        messages.append({"role": "assistant", "content": message["content"]})
        if message["stop_reason"] != "tool_use":
            return calls, block["text"]
        calls.append(block)
        given = TEXT if block["name"] == "read_file" else "It is done, whatever it was."
        result = {"type": "tool_result", "tool_use_id": block["id"], "content": given}
        messages.append({"role": "user", "content": [result]})
    raise AssertionError("it never came to an end")


def test_it_reads_what_is_offered_writes_and_drafts_once_and_then_answers() -> None:
    calls, said = converse("Sum up what fails in one line, write it to report.md and draft a post.", TOOLS)

    assert [(call["name"], call["input"].get("path")) for call in calls] == [
        ("read_file", "inputs/a.md"),
        ("read_file", "inputs/b.md"),
        ("write_output", None),
        ("draft", None),
    ]
    assert said == "The database fails since midnight because its disk is full."
    assert calls[2]["input"] == {"name": "report.md", "content": said + "\n"}
    assert calls[3]["input"] == {"task": "post", "payload": {"text": said}, "summary": said}
    assert len({call["id"] for call in calls}) == 4


@pytest.mark.parametrize("tools", [[], [tool("shell")], [{"name": 1}, 5], [{"name": "read_file", "input_schema": 7}]])
def test_it_calls_nothing_it_has_no_use_for(tools: list[Any]) -> None:
    assert converse("Sum up in one line: " + TEXT, tools)[0] == []


def test_a_call_is_no_longer_than_was_asked_for() -> None:
    """Its tokens are output like any other: the hold must cover them."""
    body = {"messages": [{"role": "user", "content": "Sum up: " + TEXT}], "tools": TOOLS, "max_tokens": 3}
    message = offline.answer(body)

    assert message["stop_reason"] != "tool_use"
    assert message["usage"]["output_tokens"] <= 3


def test_a_streamed_call_is_the_same_call() -> None:
    message = offline.answer({"messages": [{"role": "user", "content": "Sum up."}], "tools": TOOLS, "max_tokens": 99})
    events = [json.loads(event.partition(b"data: ")[2]) for event in offline.stream(message)]
    start = next(event for event in events if event["type"] == "content_block_start")
    told = "".join(event["delta"]["partial_json"] for event in events if event["type"] == "content_block_delta")

    assert {**start["content_block"], "input": json.loads(told)} == message["content"][0]
    assert events[-2]["delta"]["stop_reason"] == "tool_use"


@pytest.mark.parametrize(
    ("criterion", "met"),
    [
        ("Names the failing database.", True),
        ("Mentions the cache.", False),
        ("Sings of unicorns in moonlight.", False),
        ("The and of.", False),
    ],
)
def test_it_judges_by_the_words_of_a_criterion_and_says_so(criterion: str, met: bool) -> None:
    asked = question("offline/extract", [criterion], "The database fails since midnight.", max_tokens=500)
    (verdict,) = read_verdicts(offline.answer(asked)["content"][0]["text"], [criterion])

    assert verdict.met is met
    assert "words were counted, the sense was not judged" in verdict.reason


def test_a_judgement_that_does_not_fit_is_cut_like_any_answer() -> None:
    asked = question("offline/extract", ["Names the database."] * 20, TEXT, max_tokens=10)
    message = offline.answer(asked)

    assert (message["stop_reason"], message["usage"]["output_tokens"] <= 10) == ("max_tokens", True)
