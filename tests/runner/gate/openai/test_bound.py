"""The bound of a request on the OpenAI wire: what is clamped, what is counted, and what is refused by name."""

from __future__ import annotations

import copy
import json
from decimal import Decimal
from typing import Any

import pytest

from runner.config import PriceConfig, UpstreamConfig
from runner.gate.estimate import Bound, Unbounded
from runner.gate.openai.bound import chat, responses
from runner.gate.openai.prompt import IMAGE_TOKENS
from runner.gate.prices import PriceList
from runner.gate.rates import FREE, Price

OPENAI = UpstreamConfig(name="openai", url="https://api.openai.com/v1", wire="openai")
ELSEWHERE = UpstreamConfig(name="house", url="https://house.example/v1", wire="openai", default_output_tokens=1_000)
LOCAL = UpstreamConfig(name="cellar", url="http://127.0.0.1:1", wire="openai", local=True)
WINDOW = 100_000
PICTURE = "data:image/png;base64,iVBORw0KGgo="


def price(*, window: int | None = None) -> Price:
    """A tenth of a dollar a thousand tokens in, a dollar a thousand out."""
    owner = PriceConfig(input=Decimal(100), output=Decimal(1000), context=window)
    found = PriceList({"house-model": owner}).lookup("house-model", local=False)
    assert found is not None
    return found


def bound_of(
    wire: Any,
    body: dict[str, Any],
    *,
    upstream: UpstreamConfig = ELSEWHERE,
    window: int | None = None,
    limit: int | None = None,
) -> Bound | Unbounded:
    before = copy.deepcopy(body)
    found = wire(body, price=price(window=window), upstream=upstream, max_output_tokens=limit)
    assert body == before
    return found


def of_chat(
    *, limit: int | None = None, upstream: UpstreamConfig = ELSEWHERE, window: int | None = None, **fields: Any
) -> Any:
    body = {"model": "house-model", "messages": [{"role": "user", "content": "Hello"}], **fields}
    return bound_of(chat, body, upstream=upstream, window=window, limit=limit)


def of_response(
    *, limit: int | None = None, upstream: UpstreamConfig = ELSEWHERE, window: int | None = None, **fields: Any
) -> Any:
    return bound_of(
        responses, {"model": "house-model", "input": "Hello", **fields}, upstream=upstream, window=window, limit=limit
    )


# --- output -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "limit", "goes", "tokens"),
    [
        ({}, None, {"max_tokens": 1_000}, 1_000),
        ({}, 300, {"max_tokens": 300}, 300),
        ({"max_tokens": None}, 300, {"max_tokens": 300}, 300),
        ({"max_tokens": 500}, None, {"max_tokens": 500}, 500),
        ({"max_tokens": 5_000}, None, {"max_tokens": 5_000}, 5_000),
        ({"max_tokens": 500}, 300, {"max_tokens": 300}, 300),
        ({"max_completion_tokens": 500}, 300, {"max_tokens": 300}, 300),
        ({"max_completion_tokens": 500, "max_tokens": None}, None, {"max_tokens": 500}, 500),
        (
            {"max_completion_tokens": 200, "max_tokens": 900},
            300,
            {"max_completion_tokens": 200, "max_tokens": 300},
            300,
        ),
        ({"max_tokens": 100, "n": 4}, None, {"max_tokens": 100}, 400),
    ],
)
def test_a_chat_goes_with_a_limit_of_its_answer(
    sent: dict[str, Any], limit: int | None, goes: dict[str, Any], tokens: int
) -> None:
    """The client's, clamped to the task's, or else the task's, or else the upstream's usual one."""
    found = of_chat(limit=limit, **sent)

    assert {key: value for key, value in found.body.items() if key.startswith("max_")} == goes
    assert found.output_tokens == tokens
    assert found.hold >= tokens * 1_000


@pytest.mark.parametrize(
    ("sent", "limit", "goes"), [({}, None, 1_000), ({}, 300, 300), ({"max_output_tokens": 500}, 300, 300)]
)
def test_a_response_goes_with_a_limit_too(sent: dict[str, Any], limit: int | None, goes: int) -> None:
    found = of_response(limit=limit, **sent)

    assert (found.body["max_output_tokens"], found.output_tokens) == (goes, goes)


def test_the_vendor_itself_wants_the_newer_name() -> None:
    """Its reasoning models refuse the older one, and most other servers know no newer one."""
    assert "max_completion_tokens" in of_chat(upstream=OPENAI).body
    assert "max_tokens" not in of_chat(upstream=OPENAI, max_completion_tokens=500).body
    assert "max_completion_tokens" not in of_chat(upstream=ELSEWHERE).body


@pytest.mark.parametrize("value", [-1, True, 1.5, "100", 10**9])
@pytest.mark.parametrize(("make", "name"), [(of_chat, "max_tokens"), (of_response, "max_output_tokens")])
def test_a_limit_that_is_none_is_refused(make: Any, name: str, value: object) -> None:
    assert name in make(**{name: value}).reason


@pytest.mark.parametrize("value", [0, -1, True, "2", 1_000])
def test_a_number_of_answers_is_a_small_whole_one(value: object) -> None:
    assert '"n"' in of_chat(n=value).reason


def test_a_stream_is_asked_for_its_usage() -> None:
    """Beside what else the client wants of it; a whole answer tells it anyway."""
    streamed = of_chat(stream=True, stream_options={"include_obfuscation": False})

    assert streamed.body["stream_options"] == {"include_obfuscation": False, "include_usage": True}
    assert "stream_options" not in of_chat().body
    assert "stream_options" not in of_response(stream=True).body


# --- terms --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [of_chat, of_response])
def test_the_tier_of_the_price_is_named_where_settings_would_choose(make: Any) -> None:
    """The vendor's project may be set to a dearer one; other servers do not know the field."""
    assert make(upstream=OPENAI).body["service_tier"] == "default"
    assert make(upstream=OPENAI, service_tier="auto").body["service_tier"] == "default"
    assert "service_tier" not in make(upstream=ELSEWHERE).body


@pytest.mark.parametrize("make", [of_chat, of_response])
@pytest.mark.parametrize("tier", ["priority", "flex", "fast", "scale", "ultrafast", 7])
def test_another_tier_has_no_price(make: Any, tier: object) -> None:
    assert '"service_tier"' in make(service_tier=tier).reason


def test_a_region_of_the_address_costs_a_tenth_more() -> None:
    regional = UpstreamConfig(name="eu", url="https://eu.api.openai.com/v1", wire="openai")
    plain, pinned = of_chat(upstream=OPENAI), of_chat(upstream=regional)

    assert (plain.region, pinned.region) == (False, True)
    assert pinned.hold == -(-plain.hold * 11 // 10)


def test_a_cache_write_may_be_dearer_than_the_plain_token() -> None:
    """The vendor writes one by itself; an entry that is asked to last costs most."""
    usual = of_chat(max_tokens=1)
    lasting = of_chat(max_tokens=1, prompt_cache_options={"ttl": "12h"})

    assert usual.hold == usual.input_tokens * 125 + 1_000
    assert lasting.hold == lasting.input_tokens * 200 + 1_000


# --- input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["plain words", "日本語の文章", "👩‍👩‍👧‍👦" * 50, "ﷺ" * 100, "\u0301" * 1_000, '\\"\n\t' * 99]
)
def test_no_text_has_more_tokens_than_its_bound(text: str) -> None:
    """Never fewer than the bytes of the text, in whichever place it stands."""
    size = len(text.encode())
    tool = {"type": "function", "function": {"name": "f", "description": text}}

    assert of_chat(messages=[{"role": "user", "content": text}]).input_tokens >= size
    assert of_chat(messages=[{"role": "user", "content": [{"type": "text", "text": text}]}]).input_tokens >= size
    assert of_chat(tools=[tool]).input_tokens >= size
    assert of_response(input=text).input_tokens >= size
    assert of_response(instructions=text).input_tokens >= size
    assert of_response(input=[{"type": "function_call_output", "call_id": "c", "output": text}]).input_tokens >= size


def _image(url: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]}


def _seen(url: str) -> dict[str, Any]:
    return {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": url}]}]}


@pytest.mark.parametrize(("make", "fields"), [(of_chat, _image(PICTURE)), (of_response, _seen(PICTURE))])
def test_a_picture_costs_what_the_greediest_model_takes(make: Any, fields: dict[str, Any]) -> None:
    """However few bytes it has, and however many: those are not read as text."""
    large = json.loads(json.dumps(fields).replace("iVBORw0KGgo=", "A" * 400_000))

    assert IMAGE_TOKENS < make(**fields).input_tokens < IMAGE_TOKENS + 5_000
    assert IMAGE_TOKENS < make(**large).input_tokens < IMAGE_TOKENS + 5_000
    assert make(**fields, window=8_000).input_tokens == 8_000


OPAQUE = [
    (of_chat, _image("https://elsewhere.example/picture.png")),
    (of_chat, {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}]}),
    (of_chat, {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_data": "data:x"}}]}]}),
    (of_chat, {"messages": [{"role": "user", "content": [{"type": "unheard_of"}]}]}),
    (of_response, _seen("https://elsewhere.example/picture.png")),
    (of_response, {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "file-1"}]}]}),
    (of_response, {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "https://a/b.pdf"}]}]}),
    (of_response, {"input": [{"type": "reasoning", "id": "rs_1", "summary": []}]}),
    (of_response, {"input": [{"type": "web_search_call", "id": "ws_1", "status": "completed"}]}),
    (of_response, {"input": [{"type": "compaction", "encrypted_content": "gAAAA"}]}),
    (of_response, {"input": [{"type": "function_call_output", "output": [{"type": "input_file", "file_id": "f"}]}]}),
]


@pytest.mark.parametrize(("make", "fields"), OPAQUE)
def test_what_cannot_be_seen_may_fill_the_window(make: Any, fields: dict[str, Any]) -> None:
    """Where nobody knows the window it is refused, and the sentence says how to state it."""
    assert make(**fields, window=WINDOW).input_tokens == WINDOW
    assert '"context" under [prices]' in make(**fields).reason


def test_reasoning_that_comes_along_is_text() -> None:
    """Nothing of it is kept at the vendor then."""
    items = [{"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA" * 100}]

    assert 500 < of_response(input=items).input_tokens < 5_000


# --- refusals -----------------------------------------------------------------------------------------------------

SERVER_TOOLS = [
    *("web_search", "web_search_preview", "file_search", "code_interpreter", "computer", "computer_use_preview"),
    *("mcp", "image_generation", "tool_search", "programmatic_tool_calling", "unheard_of"),
]


@pytest.mark.parametrize("make", [of_chat, of_response])
@pytest.mark.parametrize("kind", SERVER_TOOLS)
def test_a_tool_that_runs_at_the_vendor_is_refused_by_name(make: Any, kind: str) -> None:
    reason = make(tools=[{"type": "function", "name": "f"}, {"type": kind}], window=WINDOW).reason

    assert f'"{kind}"' in reason


@pytest.mark.parametrize(
    ("tool", "served"),
    [
        ({"type": "custom", "name": "c"}, True),
        ({"type": "local_shell"}, True),
        ({"type": "apply_patch"}, True),
        ({"type": "shell", "environment": {"type": "local"}}, True),
        ({"type": "shell"}, False),
        ({"type": "shell", "environment": {"type": "container_auto"}}, False),
        ({"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "f"}]}, True),
        ({"type": "namespace", "name": "n", "tools": [{"type": "web_search"}]}, False),
        ("function", False),
        ({"type": ["function"]}, False),
    ],
)
def test_a_tool_of_this_side_is_served(tool: object, served: bool) -> None:
    assert isinstance(of_response(tools=[tool]), Bound) is served


@pytest.mark.parametrize(
    ("make", "fields"),
    [
        (of_response, {"background": True}),
        (of_response, {"previous_response_id": "resp_1"}),
        (of_response, {"conversation": "conv_1"}),
        (of_response, {"prompt": {"id": "pmpt_1"}}),
        (of_response, {"context_management": [{"type": "compaction"}]}),
        (of_response, {"moderation": {"model": "omni-moderation-latest"}}),
        (of_chat, {"web_search_options": {}}),
        (of_chat, {"prediction": {"type": "content", "content": "x"}}),
        (of_chat, {"audio": {"voice": "alloy", "format": "wav"}}),
        (of_chat, {"modalities": ["text", "audio"]}),
        (of_chat, {"models": ["house-model", "another"]}),
        (of_chat, {"plugins": [{"id": "web"}]}),
        (of_chat, {"unheard_of": 1}),
        (of_chat, {"max_output_tokens": 5}),
        (of_response, {"max_tokens": 5}),
        (of_chat, {"stream": "yes"}),
        (of_response, {"instructions": [{"role": "user", "content": "x"}]}),
    ],
)
def test_what_nobody_can_price_is_refused_by_name(make: Any, fields: dict[str, Any]) -> None:
    (name,) = fields

    assert f'"{name}"' in make(**fields, window=WINDOW).reason


@pytest.mark.parametrize(
    "fields",
    [{"background": False}, {"previous_response_id": None}, {"store": True}, {"store": False}, {"conversation": None}],
)
def test_what_asks_for_nothing_of_it_passes(fields: dict[str, Any]) -> None:
    """What is stored stays there unread, for no later request may name it."""
    assert isinstance(of_response(**fields), Bound)


def test_a_message_holds_nothing_that_is_not_looked_at() -> None:
    """A picture in a field of a vendor's own would be counted as the few bytes it has."""
    known = {"role": "assistant", "content": None, "tool_calls": [], "refusal": "no", "reasoning_content": "because"}

    assert isinstance(of_chat(messages=[known]), Bound)
    assert '"images"' in of_chat(messages=[{**known, "images": [PICTURE]}], window=WINDOW).reason


SOUND = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}


@pytest.mark.parametrize(
    ("make", "fields"),
    [
        (of_chat, {"messages": [{"role": "user", "content": [SOUND]}]}),
        (of_chat, {"messages": [{"role": "assistant", "audio": {"id": "audio_1"}}]}),
        (of_response, {"input": [{"role": "user", "content": [SOUND]}]}),
    ],
)
def test_sound_is_refused_whatever_the_window(make: Any, fields: dict[str, Any]) -> None:
    """Its tokens have another price than those of text."""
    assert "sound" in make(**fields, window=WINDOW).reason


@pytest.mark.parametrize("kind", ["item_reference", "additional_tools", "compaction_trigger", "unheard_of", 7])
def test_an_item_that_brings_in_what_is_kept_elsewhere_is_refused(kind: object) -> None:
    assert json.dumps(kind) in of_response(input=[{"type": kind, "id": "x"}], window=WINDOW).reason


@pytest.mark.parametrize(
    "model",
    [
        *("gpt-4o-search-preview", "gpt-4o-mini-search-preview-2025-03-11", "gpt-5-search-api", "o3-deep-research"),
        *("gpt-4o-audio-preview", "gpt-audio", "gpt-realtime-mini", "gpt-image-1", "gpt-4o-mini-tts"),
    ],
)
def test_a_model_paid_for_more_than_text_is_refused(model: str) -> None:
    assert model in of_chat(model=model, window=WINDOW).reason


@pytest.mark.parametrize("wire", [chat, responses])
@pytest.mark.parametrize(
    "body",
    [
        *(None, [], 7, "x", {}, {"model": ""}, {"model": 7}, {"model": "m"}),
        {"model": "m", "messages": "Hello", "input": {"role": "user"}},
        {"model": "m", "messages": [7], "input": [7]},
        {"model": "m", "messages": [{"content": 7}], "input": [{"content": 7}]},
        {"model": "m", "messages": [{"content": [7]}], "input": [{"content": [7]}]},
        {"model": "m", "messages": [], "input": [], "tools": {"type": "function"}},
    ],
)
def test_any_shape_is_answered_with_a_sentence(wire: Any, body: object) -> None:
    found = wire(body, price=price(), upstream=ELSEWHERE, max_output_tokens=None)

    assert isinstance(found, Unbounded)
    assert found.reason


@pytest.mark.parametrize("make", [of_chat, of_response])
def test_what_is_nested_without_end_is_refused_unread(make: Any) -> None:
    deep: Any = "x"
    for _ in range(100):
        deep = [deep]

    assert "nested" in make(metadata=deep).reason


# --- free models --------------------------------------------------------------------------------------------------


def test_what_is_free_may_ask_for_anything() -> None:
    """A local server knows fields of its own; no limit is written into a request that costs nothing."""
    body = {"model": "m", "messages": [{"role": "user", "content": [SOUND]}], "mirostat": 2, "keep_alive": "5m"}

    found = chat(body, price=FREE, upstream=LOCAL, max_output_tokens=None)

    assert isinstance(found, Bound)
    assert (found.hold, found.output_tokens, found.body) == (0, 0, body)
    limited = chat(body, price=FREE, upstream=LOCAL, max_output_tokens=50)
    assert isinstance(limited, Bound)
    assert limited.body["max_tokens"] == 50
