"""What an answer of the OpenAI wire says it used, whatever shape it has and wherever its stream is cut."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runner.gate.openai.usage import ChatStream, ResponseStream, from_chat, from_response
from runner.gate.usage import Usage
from tests.openai_wire import chat, chat_events, data, named, response, response_events

MODEL = "house-model"
COUNTS = {"input_tokens": 10, "output_tokens": 5}


def used(*, cached: int = 0, written: int = 0, lasting: int = 0, output: int = 5, model: str = MODEL) -> Usage:
    return Usage(
        model=model,
        input=10 - cached - written,
        output=output,
        cache_read=cached,
        cache_write_5m=written - lasting,
        cache_write_1h=lasting,
        other_models=() if model == MODEL else (model,),
    )


# --- whole answers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [MODEL, "house-model-2030-01-01", "another"])
def test_a_whole_answer_tells_its_usage_and_its_model(model: str) -> None:
    """A model other than the one asked for is named, so that it can be priced."""
    assert from_chat(chat("Hi", model, COUNTS), MODEL) == used(model=model)
    assert from_response(response("Hi", model, COUNTS), MODEL) == used(model=model)


CLASSES = [
    ({"cached_tokens": 4}, {"cached": 4}),
    ({"cached_tokens": 4, "cache_write_tokens": 6}, {"cached": 4, "written": 6}),
    ({"cache_write_tokens": 6, "cache_write_tokens_details": {"ttl_12h_tokens": 2}}, {"written": 6, "lasting": 2}),
    ({"cached_tokens": None, "audio_tokens": 0, "image_tokens": 3}, {}),
]


@pytest.mark.parametrize(("details", "classes"), CLASSES)
def test_the_classes_of_a_prompt_are_told_apart(details: dict[str, Any], classes: dict[str, int]) -> None:
    """They are parts of the prompt, not beside it."""
    assert from_chat(chat("Hi", MODEL, {**COUNTS, "prompt_tokens_details": details}), MODEL) == used(**classes)
    assert from_response(response("Hi", MODEL, {**COUNTS, "input_tokens_details": details}), MODEL) == used(**classes)


def test_reasoning_counts_as_output_wherever_it_is_told() -> None:
    """Inside the count of the answer, or in the total alone as some vendors have it."""
    inside = {**COUNTS, "completion_tokens_details": {"reasoning_tokens": 4}}
    beside = {**COUNTS, "total_tokens": 60, "completion_tokens_details": {"reasoning_tokens": 45}}

    assert from_chat(chat("Hi", MODEL, inside), MODEL) == used()
    assert from_chat(chat("Hi", MODEL, beside), MODEL) == used(output=50)


def test_a_response_that_was_cut_short_is_complete() -> None:
    """It reached a limit, and says what it cost until there."""
    assert from_response(response("Hi", MODEL, COUNTS, status="incomplete"), MODEL) == used()


UNCLEAR: list[dict[str, Any]] = [
    {"usage": None},
    {"usage": []},
    {"usage": {}},
    {"usage": {"prompt_tokens": 10, "input_tokens": 10}},
    {"usage": {"completion_tokens": 5, "output_tokens": 5}},
    *(
        {"usage": {"prompt_tokens": bad, "input_tokens": bad, "completion_tokens": 5, "output_tokens": 5}}
        for bad in (-1, True, 1.0, "10", 10**12, [10])
    ),
    {"usage": {**COUNTS, "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": -1}},
    {"model": None},
    {"model": ""},
    {"model": 7},
    {"service_tier": "priority"},
    {"service_tier": 7},
]
BAD_DETAILS: list[Any] = [
    *({"cached_tokens": bad} for bad in (-1, 11, True, "4")),
    {"cached_tokens": 6, "cache_write_tokens": 6},
    {"cache_write_tokens": 1, "cache_write_tokens_details": 7},
    {"audio_tokens": 1},
    [],
]


@pytest.mark.parametrize("change", UNCLEAR)
def test_what_is_missing_or_odd_is_no_usage(change: dict[str, Any]) -> None:
    assert from_chat({**chat("Hi", MODEL, COUNTS), **change}, MODEL) is None
    assert from_response({**response("Hi", MODEL, COUNTS), **change}, MODEL) is None


@pytest.mark.parametrize("details", BAD_DETAILS)
def test_details_that_contradict_are_no_usage(details: Any) -> None:
    assert from_chat(chat("Hi", MODEL, {**COUNTS, "prompt_tokens_details": details}), MODEL) is None
    assert from_response(response("Hi", MODEL, {**COUNTS, "input_tokens_details": details}), MODEL) is None


@pytest.mark.parametrize("status", ["failed", "in_progress", "queued", "cancelled", None, 7])
def test_a_response_that_did_not_end_well_says_nothing(status: Any) -> None:
    assert from_response({**response("Hi", MODEL, COUNTS), "status": status}, MODEL) is None


@pytest.mark.parametrize("kind", ["web_search_call", "code_interpreter_call", "mcp_call", "unheard_of", None])
def test_work_of_the_vendors_own_tools_is_not_paid_by_tokens(kind: Any) -> None:
    """Such tools are refused beforehand; one that ran all the same leaves the cost unknown."""
    whole = response("Hi", MODEL, COUNTS)

    assert from_response({**whole, "output": [*whole["output"], {"type": kind}]}, MODEL) is None


@pytest.mark.parametrize("body", [None, [], 7, "x", {}, {"error": {"message": "no"}}, {"choices": 7}])
def test_any_shape_is_read_without_harm(body: object) -> None:
    assert from_chat(body, MODEL) is None
    assert from_response(body, MODEL) is None


# --- streams ------------------------------------------------------------------------------------------------------

CHAT = chat_events("One two three", MODEL, COUNTS, told=True)
RESPONSE = response_events("One two three", MODEL, COUNTS)
STREAMS = [pytest.param(ChatStream, CHAT, id="chat"), pytest.param(ResponseStream, RESPONSE, id="response")]


def fed(meter: Any, *chunks: bytes) -> Usage | None:
    for chunk in chunks:
        meter.feed(chunk)
    found: Usage | None = meter.complete()
    return found


@pytest.mark.parametrize(("kind", "events"), STREAMS)
def test_a_stream_tells_its_usage_wherever_it_is_cut(kind: Any, events: list[bytes]) -> None:
    whole = b"".join(events)
    for size in (1, 2, 3, 7, 64, len(whole)):
        pieces = [whole[start : start + size] for start in range(0, len(whole), size)]
        assert fed(kind(MODEL), *pieces) == used()
    assert fed(kind(MODEL), whole.replace(b"\n", b"\r\n")) == used()


@pytest.mark.parametrize(("kind", "events"), STREAMS)
def test_no_stream_is_complete_before_it_told_all(kind: Any, events: list[bytes]) -> None:
    """The end of a chat is its usage or its last word, whichever comes later; of a response its last event."""
    last = len(events) - (2 if kind is ChatStream else 1)
    for count in range(last + 1):
        assert fed(kind(MODEL), *events[:count]) is None
    assert fed(kind(MODEL), *events[: last + 1]) == used()


def test_a_running_count_is_not_the_final_one() -> None:
    """Some vendors repeat it in every chunk."""
    head = {"id": "c", "object": "chat.completion.chunk", "model": MODEL}

    def chunk(output: int, finish: str | None = None) -> bytes:
        usage = {"prompt_tokens": 10, "completion_tokens": output, "total_tokens": 10 + output}
        return data({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}], "usage": usage})

    meter = ChatStream(MODEL)

    assert fed(meter, chunk(1), chunk(3), chunk(5, "stop")) is None
    assert fed(meter, b"data: [DONE]\n\n") == used()
    assert fed(ChatStream(MODEL), chunk(5), chunk(3, "stop"), b"data: [DONE]\n\n") is None


def test_a_chat_of_several_answers_ends_once() -> None:
    head = {"id": "c", "object": "chat.completion.chunk", "model": MODEL}
    ends = [data({**head, "choices": [{"index": at, "delta": {}, "finish_reason": "stop"}]}) for at in range(3)]

    assert fed(ChatStream(MODEL), *ends, *CHAT[-2:]) == used()


ERRORS = [
    (ChatStream, data({"error": {"message": "no", "type": "server_error", "code": None}}), "server_error"),
    (ChatStream, data({"error": {"message": "no", "type": "x", "code": "insufficient_quota"}}), "insufficient_quota"),
    (ChatStream, data({"error": {"message": "no", "code": 502}}), "502"),
    (ChatStream, b"event: error\ndata: {}\n\n", "error"),
    (ResponseStream, named("error", code="server_error", message="no"), "server_error"),
    (ResponseStream, named("error", error={"type": "server_error", "message": "no"}), "server_error"),
    (ResponseStream, named("response.failed", response={"error": {"code": "server_error"}}), "server_error"),
]


@pytest.mark.parametrize(("kind", "event", "word"), ERRORS)
def test_an_error_inside_a_stream_is_final(kind: Any, event: bytes, word: str) -> None:
    """Whatever is told after it: nobody knows what it means."""
    meter = kind(MODEL)
    events = CHAT if kind is ChatStream else RESPONSE

    assert fed(meter, *events[:2], event, *events[2:]) is None
    assert meter.error_type == word


JUNK = [b"data: {\n\n", b"data: [1]\n\n", b"data: \xff\xfe\n\n", b"data: " + b"[" * 20_000 + b"\n\n"]


@pytest.mark.parametrize(("kind", "events"), STREAMS)
@pytest.mark.parametrize("junk", JUNK)
def test_junk_ends_the_reading(kind: Any, events: list[bytes], junk: bytes) -> None:
    named_junk = junk if kind is ChatStream else b"event: response.completed\n" + junk

    assert fed(kind(MODEL), named_junk, *events) is None


@pytest.mark.parametrize(("kind", "events"), STREAMS)
def test_lines_that_say_nothing_are_passed_over(kind: Any, events: list[bytes]) -> None:
    """Comments keep a line open; a stream may begin with a byte order mark."""
    noise = b"\xef\xbb\xbf: OPENROUTER PROCESSING\n\n"

    assert fed(kind(MODEL), noise, *events) == used()


def test_a_response_cannot_end_twice() -> None:
    assert fed(ResponseStream(MODEL), *RESPONSE, RESPONSE[-1]) is None


def test_a_response_tells_no_name_twice() -> None:
    """The name of an event and the type in it are one."""
    event = b"event: response.completed\n" + data({"type": "response.created", "response": json.loads("{}")})

    assert fed(ResponseStream(MODEL), event, *RESPONSE) is None
