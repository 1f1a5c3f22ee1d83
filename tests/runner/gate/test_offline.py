"""The built-in model says something worth reading, the same every time, and quickly whatever it is given."""

from __future__ import annotations

import json
import time
from typing import Any

import anthropic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.gate import offline
from runner.gate.messages_usage import StreamUsage, from_message
from tests.upstream import FakeAnthropic, Reply

README = """---
title: Harbour
---
<!-- badges -->
# Harbour

[![build](https://ci.example/badge.svg)](https://ci.example) ![logo](logo.png)

Harbour is a job queue for small teams that keeps every job in one **SQLite** file. It was written because
the usual queues need a server of their own, e.g. Redis.

## Install

```sh
pip install harbour   # this must never be quoted
```

The queue needs Python 3.11 or newer. See the [manual](https://example.org/manual) for more.

| option | meaning |
|--------|---------|
| `--n`  | workers |

## How the queue works

- Every job is a row in the SQLite file, and a worker claims the row before it runs the job.
- A worker that dies gives its job back to the queue.
* Nothing else is needed to run the queue on one machine.

Weather was fine on the day of release.

## License

MIT
"""


def make_body(*texts: str, **fields: Any) -> dict[str, Any]:
    content = [{"type": "text", "text": text} for text in texts]
    return {
        "model": "offline/extract",
        "max_tokens": 1_000,
        "messages": [{"role": "user", "content": content}],
        **fields,
    }


def said(*texts: str, **fields: Any) -> str:
    content = offline.answer(make_body(*texts, **fields))["content"]
    return content[0]["text"] if content else ""


def test_an_answer_is_a_whole_message() -> None:
    message = offline.answer(make_body("Sum up.", README))

    assert anthropic.types.Message.model_validate(message).to_dict(exclude_unset=True) == message
    assert message["id"].startswith("msg_offline_")
    assert message["stop_reason"] == "end_turn"
    usage = from_message(message, "offline/extract")
    assert usage is not None
    assert usage.input == offline.tokens(f"Sum up.\n{README}")
    assert usage.output == offline.tokens(message["content"][0]["text"])


def test_the_same_request_gets_the_same_answer_and_another_one_another_id() -> None:
    first, again = offline.answer(make_body(README)), offline.answer(make_body(README))
    other = offline.answer(make_body(README + "More was said."))

    assert first == again
    assert first["id"] != other["id"]


def test_it_quotes_sentences_of_the_text_in_their_order() -> None:
    lines = said(f"Summarise this in four lines.\n\n{README}").splitlines()

    assert len(lines) == 4
    flat = " ".join(README.replace("**", "").replace("`", "").split())
    places = [flat.find(line[:60]) for line in lines]
    assert -1 not in places
    assert places == sorted(places)
    assert lines[0].startswith("Harbour is a job queue for small teams that keeps every job in one SQLite file.")
    assert "Weather" not in "\n".join(lines)


@pytest.mark.parametrize("furniture", ["```", "pip install", "|", "#", "badge", "<!--", "title:", "](", "**", "- "])
def test_markdown_furniture_is_left_out(furniture: str) -> None:
    assert furniture not in said("In 20 lines:", README)


@pytest.mark.parametrize(
    ("wish", "count"),
    [
        ("Summarise what changed, in ten lines.", 10),
        ("Sum this up in 3 sentences", 3),
        ("Give me two bullet points on it.", 2),
        ("A one-sentence summary, please.", 1),
        ("Write a single line.", 1),
        ("List 7 short points", 7),
        ("Tell me about it.", offline.USUAL_SENTENCES),
        ("In 0 lines", 1),
        ("In 999 lines", 40),
    ],
)
def test_the_number_of_lines_asked_for_is_kept(wish: str, count: int) -> None:
    text = "\n".join(f"- Point {chr(97 + n % 26)}{n} deals with matter {n} of some weight." for n in range(40))

    assert len(said(f"{wish}\n\n{text}").splitlines()) == count
    assert len(said(wish, text).splitlines()) == count
    assert len(said(text, system=wish).splitlines()) == count


def test_the_instruction_itself_is_not_quoted() -> None:
    assert "Summarise" not in said(f"Summarise what changed.\n\n{README}")
    assert "which" not in said("which of these need me today?\nThe boiler leaks. The cat is fine.").lower()


def test_a_text_without_an_instruction_keeps_its_opening() -> None:
    assert said("Rain fell all night. The river rose.\n\nBy morning the bridge was gone.").startswith("Rain fell")


def test_a_question_alone_is_all_there_is_to_read() -> None:
    assert said("Is anybody there?") == "Is anybody there?"


def test_later_remarks_steer_and_tool_results_are_read() -> None:
    messages = [
        {"role": "user", "content": "Summarise the file."},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "read_file", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": README}]},
        {"role": "assistant", "content": "Something."},
        {"role": "user", "content": "Shorter, in one line please."},
    ]

    text = said(messages=messages)

    assert text.startswith("Harbour is a job queue")
    assert len(text.splitlines()) == 1


def test_it_stays_within_max_tokens() -> None:
    for limit in (0, 1, 5, 20, 60, 1_000):
        message = offline.answer(make_body("In 20 lines:", README, max_tokens=limit))
        assert message["usage"]["output_tokens"] <= limit
    assert offline.answer(make_body(README, max_tokens=5))["stop_reason"] == "max_tokens"
    assert offline.answer(make_body(README, max_tokens=60))["stop_reason"] == "end_turn"


def test_chinese_and_japanese_sentences_are_told_apart() -> None:
    lines = said("In two sentences:", "東京は日本の首都です。人口は多いです。東京の人口は日本で最も多い。").splitlines()

    assert len(lines) == 2
    assert all(line.endswith("。") for line in lines)


def test_an_abbreviation_ends_no_sentence() -> None:
    assert "e.g. Redis." in said("In 20 lines:", README)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": None},
        {"messages": "x"},
        {"messages": [5, {"role": "user"}, {"role": "user", "content": [5, {"type": "tool_result", "content": 5}]}]},
        {"messages": [{"role": "user", "content": ""}], "max_tokens": "many", "model": 5, "system": 7},
        {"messages": [{"role": "user", "content": "```\n```\n|1|\n---\n"}]},
    ],
)
def test_nothing_to_read_gets_a_plain_sentence(body: dict[str, Any]) -> None:
    message = offline.answer(body)

    assert message["content"][0]["text"] == offline.NOTHING


def test_headings_and_tables_are_read_when_there_is_nothing_else() -> None:
    assert said("# Shopping\n## Milk and bread\n| eggs |") == "Shopping\nMilk and bread\neggs"


def test_streamed_it_is_the_same_message() -> None:
    message = offline.answer(make_body("In five lines:", README))

    chunks = list(offline.stream(message))

    events = [json.loads(chunk.split(b"data: ", 1)[1]) for chunk in chunks]
    kinds = [event["type"] for event in events]
    assert kinds[:3] == ["message_start", "content_block_start", "ping"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    pieces = [event["delta"]["text"] for event in events if event["type"] == "content_block_delta"]
    assert len(pieces) > 3
    assert "".join(pieces) == message["content"][0]["text"]
    reader = StreamUsage("offline/extract")
    reader.feed(b"".join(chunks))
    assert reader.complete() == from_message(message, "offline/extract")


def test_the_vendors_client_reads_the_stream() -> None:
    message = offline.answer(make_body("In five lines:", README))
    streamed = Reply(body=b"".join(offline.stream(message)), headers={"content-type": "text/event-stream"})

    with FakeAnthropic(default=streamed) as server:
        client = anthropic.Anthropic(base_url=server.url, api_key="sk-test", max_retries=0)
        with client.messages.stream(model="offline/extract", max_tokens=9, messages=[]) as stream:
            read = stream.get_final_message()

    assert read.to_dict(exclude_none=True) == {key: value for key, value in message.items() if value is not None}


@given(st.text(max_size=400), st.integers(0, 60))
def test_any_text_gets_an_answer_that_streams_back_whole(text: str, limit: int) -> None:
    message = offline.answer(make_body(text, max_tokens=limit))

    events = [json.loads(chunk.split(b"data: ", 1)[1]) for chunk in offline.stream(message)]
    pieces = [event["delta"]["text"] for event in events if event["type"] == "content_block_delta"]
    assert "".join(pieces) == "".join(block["text"] for block in message["content"])
    assert message["usage"]["output_tokens"] <= limit


@pytest.mark.parametrize(
    "hostile",
    ["a", "[", "[](", "![", "<!--", "<a ", "# ", "# a" + "#" * 3_000 + "b\n", ". ", "A. ", "。あ", "*", "- a\n", "`"],
)
def test_a_megabyte_of_anything_takes_no_time_to_speak_of(hostile: str) -> None:
    """Tenths of a second of a core, idle or busy; what grows with the square takes hours of it."""
    text = hostile * (1_000_000 // len(hostile))
    begun = time.thread_time()

    offline.answer(make_body("In 60 lines:", text))

    assert time.thread_time() - begun < 10
