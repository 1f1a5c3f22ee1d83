"""Tool calls are counted in answers of every wire, wherever their bytes are cut."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.gate.toolcalls import StreamedCalls, in_message

USE = {"type": "tool_use", "id": "t", "name": "x", "input": {}}
TEXT = {"type": "text", "text": "tool_use tool_calls"}
CHAT = {"id": "c", "type": "function", "function": {"name": "x", "arguments": ""}}


@pytest.mark.parametrize(
    ("answer", "count"),
    [
        ({"content": [TEXT, USE, USE]}, 2),
        ({"content": [{**USE, "type": "server_tool_use"}]}, 0),
        ({"choices": [{"message": {"tool_calls": [CHAT, CHAT, CHAT]}}, {"message": {"tool_calls": None}}]}, 3),
        ({"choices": [{"message": {"function_call": {"name": "x"}}}, {"message": {"function_call": None}}]}, 1),
        ({"output": [{"type": "function_call"}, {"type": "message"}, {"type": "custom_tool_call"}]}, 2),
        ({"content": "tool_use"}, 0),
        ({"content": [1, None], "choices": [{"message": 1}, 2], "output": {}}, 0),
        ([], 0),
        (None, 0),
    ],
)
def test_a_whole_answer_is_counted(answer: object, count: int) -> None:
    assert in_message(answer) == count


def event(name: str | None, **fields: Any) -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(fields)}\n\n".encode()


MESSAGES = b"".join(
    [
        event("content_block_start", type="content_block_start", index=0, content_block=TEXT),
        event("content_block_delta", type="content_block_delta", index=0, delta={"text": '"type": "tool_use"'}),
        event("content_block_start", type="content_block_start", index=1, content_block=USE),
        event("content_block_delta", type="content_block_delta", index=1, delta={"partial_json": "{}"}),
        event("content_block_start", type="content_block_start", index=2, content_block=USE),
        event("message_stop", type="message_stop"),
    ]
)
CHATS = b"".join(
    [
        event(None, choices=[{"delta": {"content": "tool_calls"}}]),
        event(None, choices=[{"delta": {"tool_calls": [{**CHAT, "index": 0}]}}]),
        event(None, choices=[{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}}]),
        event(None, choices=[{"delta": {"tool_calls": [{**CHAT, "index": 1}]}}]),
        b"data: [DONE]\n\n",
    ]
)


def chat(*pieces: dict[str, Any], choice: int = 0) -> bytes:
    return event(None, choices=[{"index": choice, "delta": {"tool_calls": list(pieces)}}])


NAMED = {"name": "x", "arguments": ""}
REST = {"function": {"arguments": "{}"}}
OTHER_CHATS = {
    "places alone": chat({"index": 0, "function": NAMED}) + chat({"index": 0, **REST}) + chat({"index": 1, **REST}),
    "ids alone": chat({"id": "a", "function": NAMED}) + chat(REST) + chat({"id": "b", "function": NAMED}) + chat(REST),
    "neither": chat({"function": NAMED}) + chat(REST) + chat({"function": NAMED}, REST),
    "one place": chat({"index": 0, "id": "a", **REST}) + chat({"index": 0, "id": "b", **REST}),
    "ids repeated": b"".join(chat({"index": place, "id": f"{place}", **REST}) for place in (0, 0, 1, 1)),
    "ids late": chat({"index": 0, **REST}) + chat({"index": 0, "id": "a", **REST}) + chat({"index": 1, **REST}),
    "ids empty": b"".join(chat({"index": place, "id": "", **REST}) for place in (0, 0, 1, 1)),
    "two choices": chat({"index": 0, **REST}) + chat({"index": 0, **REST}, choice=1) + chat({"index": 0, **REST}),
    "one function": b"".join(
        event(None, choices=[{"index": choice, "delta": {"function_call": function}}])
        for choice in (0, 1)
        for function in (NAMED, {"arguments": "{}"})
    ),
}
"""Of vendors that tell where a call begins in their own ways."""
RESPONSES = b"".join(
    [
        event("response.output_item.added", type="response.output_item.added", item={"type": "function_call"}),
        event("response.output_item.done", type="response.output_item.done", item={"type": "function_call"}),
        event("response.output_item.added", type="response.output_item.added", item={"type": "message"}),
        event("response.output_item.added", type="response.output_item.added", item={"type": "custom_tool_call"}),
    ]
)


@pytest.mark.parametrize("stream", OTHER_CHATS.values(), ids=OTHER_CHATS)
def test_a_call_is_one_however_its_pieces_are_told_apart(stream: bytes) -> None:
    assert StreamedCalls().feed(stream) == 2


def test_whole_calls_that_all_name_one_place_and_no_id_cannot_be_told_from_pieces_of_one() -> None:
    assert StreamedCalls().feed(chat({"index": 0, "function": NAMED}) * 2) == 1


@given(
    st.sampled_from([MESSAGES, CHATS, RESPONSES, *OTHER_CHATS.values()]), st.lists(st.integers(0, 2_000), max_size=6)
)
def test_a_stream_is_counted_wherever_it_is_cut(stream: bytes, cuts: list[int]) -> None:
    counter, places = StreamedCalls(), [0, *sorted(cuts), len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(places)]

    assert sum(map(counter.feed, pieces)) == 2


@given(st.binary(max_size=300) | st.text(max_size=100).map(lambda text: event("x", tool_calls=text)))
def test_no_bytes_break_the_count(data: bytes) -> None:
    StreamedCalls().feed(b"data: " + data + b"\n\n")
