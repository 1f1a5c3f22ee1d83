"""A hold is never less than the call can cost, and what nobody can bound is refused with a sentence."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Literal, get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.gate import prompt
from runner.gate.estimate import Bound, Unbounded, bound, refined
from runner.gate.prompt import FOLD_SLICE, MOST_DEPTH
from runner.gate.rates import FREE, Price, Rate, cost
from runner.gate.usage import Usage

MILLION = 1_000_000
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}


def make_price(
    *, context: int | None = 200_000, tiers: tuple[tuple[int, int], ...] = (), factor: int = 5, dear: int = 1
) -> Price:
    """A dollar per million tokens in, five out, with the vendor's multiples for caching; all of it times `dear`."""

    def rate(micro: int) -> Rate:
        return Rate(micro * dear, tuple((start, micro * dear * factor) for start, _ in tiers))

    return Price(
        input=rate(1_000_000),
        output=rate(5_000_000),
        cache_read=rate(100_000),
        cache_write_5m=rate(1_250_000),
        cache_write_1h=rate(2_000_000),
        context=context,
        source="test",
    )


PRICE = make_price()


def make_body(content: Any = "Hello", **fields: Any) -> dict[str, Any]:
    return {
        "model": "claude-haiku-4-5",
        "max_tokens": 100,
        "inference_geo": "global",
        "messages": [{"role": "user", "content": content}],
        **fields,
    }


def held(body: object, *, price: Price = PRICE, limit: int | None = None, **allowed: Any) -> Bound:
    found = bound(body, price=price, max_output_tokens=limit, **allowed)
    assert isinstance(found, Bound), found
    return found


def refused(body: object, *, price: Price = PRICE, limit: int | None = None, **allowed: Any) -> str:
    found = bound(body, price=price, max_output_tokens=limit, **allowed)
    assert isinstance(found, Unbounded), found
    return found.reason


def test_text_is_bounded_by_its_bytes_and_what_the_vendor_adds() -> None:
    body = make_body("x" * 5_000)

    found = held(body)

    size = len(json.dumps(body).encode())
    assert found.input_tokens == size + 1_000 + 64
    assert found.output_tokens == 100
    assert found.hold == found.input_tokens * 1 + 100 * 5
    assert found.body == body


def test_a_prompt_is_never_longer_than_the_window() -> None:
    assert held(make_body("x" * 900_000)).input_tokens == 200_000


def test_signs_that_unfold_count_in_full() -> None:
    """One U+FDFA of 3 bytes was 15 tokens to a tokenizer that folds to NFKC."""
    text = "\ufdfa" * 1_000

    assert held(make_body(text)).input_tokens >= len(unicodedata.normalize("NFKC", text).encode()) + 1_064


@given(st.text(alphabet=st.characters(codec=None), max_size=600))
def test_folding_piece_by_piece_never_hides_bytes(text: str) -> None:
    folded = unicodedata.normalize("NFKC", text).encode("utf-8", "surrogatepass")
    plain = text.encode("utf-8", "surrogatepass")

    assert held(make_body(text)).input_tokens >= max(len(folded), len(plain)) + 1_064


@pytest.mark.parametrize("counted", [0, 64])
@given(text=st.text(alphabet=st.characters(codec=None), min_size=1, max_size=300))
def test_not_folding_never_hides_bytes(counted: int, text: str) -> None:
    """Of a long text only its characters are looked at, one by one or the worst for all."""
    folded = unicodedata.normalize("NFKC", text).encode("utf-8", "surrogatepass")
    plain = text.encode("utf-8", "surrogatepass")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prompt, "MOST_FOLDED", 0)
        patch.setattr(prompt, "MOST_COUNTED", counted)
        bound = prompt.text_bound(text)

    assert bound >= max(len(folded), len(plain))
    assert bound <= 11 * len(plain)


def test_a_long_run_of_accents_is_folded_in_short_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time that folding takes grows with the square of such a run."""
    folded = _spied(monkeypatch)

    held(make_body("a" + "\u0301\u0327" * 30_000))

    assert max(folded) == FOLD_SLICE
    assert sum(folded) > 60_000


@pytest.mark.parametrize("text", ["\ufdfa", "\u0301\u0327", "".join(map(chr, range(0xAC00, 0xD7A4)))])
def test_of_a_long_text_no_more_is_folded_than_its_characters(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Folding a body of 32 MB took a minute, in which no kill was heard."""
    folded = _spied(monkeypatch)

    held(make_body(text * (1_000_000 // len(text))))

    assert sum(folded) < 20_000


def _spied(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many characters each folding takes, from now on."""
    folded: list[int] = []

    def fold(form: Literal["NFKC", "NFKD"], text: str) -> str:
        folded.append(len(text))
        return unicodedata.normalize(form, text)

    monkeypatch.setattr(prompt, "unicodedata", SimpleNamespace(normalize=fold))
    return folded


def test_a_lone_surrogate_is_counted_too() -> None:
    assert held(make_body("\ud800")).input_tokens > 1_064


def test_a_picture_counts_by_its_kind_and_not_by_its_bytes() -> None:
    small = held(make_body([IMAGE, {"type": "tool_result", "tool_use_id": "t", "content": [IMAGE]}]))
    large = {**IMAGE, "source": {**IMAGE["source"], "data": PIXEL * 1_000}}  # type: ignore[dict-item]

    assert 12_000 < small.input_tokens < 14_000
    assert held(make_body([large])).input_tokens == held(make_body([IMAGE])).input_tokens


@pytest.mark.parametrize(
    "block",
    [
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PIXEL}},
        {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
        {"type": "document", "source": {"type": "url", "url": "https://example.org/a.pdf"}},
        {"type": "document", "source": {"type": "text", "data": "Cited."}, "citations": {"enabled": True}},
        {"type": "document", "source": {"type": "text", "data": 5}},
        {"type": "document", "source": {"type": "content", "content": [{"type": "image", "source": {"type": "url"}}]}},
        {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
        {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
        {"type": "image"},
        {"type": "compaction", "content": "..."},
        {"type": "something_new"},
        {"type": 7},
        {},
        {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "document", "source": {}}]},
    ],
)
def test_what_bytes_do_not_bound_takes_the_whole_window(block: dict[str, Any]) -> None:
    assert held(make_body([block])).input_tokens == 200_000
    assert '"context" under [prices]' in refused(make_body([block]), price=make_price(context=None))


def test_a_cache_entry_is_held_at_the_dearest_lifetime() -> None:
    def per_token(ttl: str | None) -> float:
        control = {"type": "ephemeral"} if ttl is None else {"type": "ephemeral", "ttl": ttl}
        found = held(make_body([{"type": "text", "text": "x" * 9_000, "cache_control": control}], max_tokens=0))
        return found.hold / found.input_tokens

    assert [round(per_token(ttl), 2) for ttl in (None, "5m", "1h", "9h")] == [1.25, 1.25, 2.0, 2.0]
    tool = {"name": "t", "input_schema": {}, "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    plain = held(make_body(max_tokens=0))
    assert plain.hold == plain.input_tokens
    found = held(make_body(max_tokens=0, tools=[tool], cache_control={"type": "ephemeral"}))
    assert found.hold == 2 * found.input_tokens


def test_a_region_that_may_be_pinned_is_held_a_tenth_dearer() -> None:
    pinned, free_to_choose = held(make_body()), held(make_body(inference_geo=None))

    assert free_to_choose.input_tokens < pinned.input_tokens
    assert free_to_choose.hold == -(-(free_to_choose.input_tokens + 500) * 11 // 10)
    assert held(make_body(inference_geo="us")).hold > pinned.hold


def test_the_tier_of_the_bound_is_paid_for_every_token() -> None:
    cheap, dear = make_price(context=MILLION, tiers=((100_000, 0),)), make_body("x" * 100_001)

    found = held(dear, price=cheap)

    assert found.hold == 5 * (found.input_tokens + 500)


@pytest.mark.parametrize(("asked", "limit", "sent"), [(100, None, 100), (100, 50, 50), (100, 200, 100), (0, 50, 0)])
def test_output_is_clamped(asked: int, limit: int | None, sent: int) -> None:
    body = make_body(max_tokens=asked)

    found = held(body, limit=limit)

    assert (found.output_tokens, found.body["max_tokens"], body["max_tokens"]) == (sent, sent, asked)


def test_a_clamp_never_goes_below_the_thinking_budget() -> None:
    thinking = {"type": "enabled", "budget_tokens": 31_999}
    body = make_body(max_tokens=32_000, thinking=thinking)

    assert "31999" in refused(body, limit=31_999)
    assert held(body, limit=32_000).output_tokens == 32_000
    assert held(body).output_tokens == 32_000
    assert "thinking" in refused(make_body(thinking={"budget_tokens": "all"}), limit=10)


def test_an_answer_without_a_limit_gets_the_tasks() -> None:
    body = make_body()
    del body["max_tokens"]

    found = held(body, limit=50)

    assert (found.output_tokens, found.body["max_tokens"], "max_tokens" in body) == (50, 50, False)
    assert "max_output_tokens of the task" in refused(body)
    assert "31999" in refused({**body, "thinking": {"type": "enabled", "budget_tokens": 31_999}}, limit=31_999)


@pytest.mark.parametrize("wrong", [-1, 1.5, "100", True, 10**12, [], float("nan")])
def test_an_answer_without_a_sensible_limit_is_refused(wrong: object) -> None:
    assert '"max_tokens"' in refused(make_body(max_tokens=wrong))
    assert '"max_tokens"' in refused(make_body(max_tokens=wrong), limit=100)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"tools": [{"type": "web_search_20260318", "name": "web_search"}]}, "[tasks.NAME.server_tools]"),
        ({"tools": [{"type": "web_search_20270101", "name": "web_search"}]}, "web_search_20270101"),
        ({"tools": [{"type": "code_execution_20260521", "name": "code_execution"}]}, "by the hour"),
        ({"tools": [{"type": "advisor_20260301", "name": "advisor", "model": "claude-opus-5"}]}, "another model"),
        ({"tools": [{"type": "tool_search_tool_bm25", "name": "tool_search_tool_bm25"}]}, "how often it searches"),
        ({"tools": [{"type": "mcp_toolset", "mcp_server_name": "x"}]}, "mcp_toolset"),
        ({"tools": [{"type": ["custom"]}]}, "custom"),
        ({"tools": {"a": 1}}, '"tools"'),
        ({"tools": ["a"]}, '"tools"'),
        ({"mcp_servers": [{"type": "url", "url": "https://example.org"}]}, '"mcp_servers"'),
        ({"container": "c_1"}, '"container"'),
        ({"thread": {"type": "create"}}, '"thread"'),
        ({"fallbacks": "default"}, '"fallbacks"'),
        ({"compaction": {"type": "summarize"}}, '"compaction"'),
        ({"context_management": {"edits": [{"type": "compact_20260112"}]}}, "compact_20260112"),
        ({"context_management": {"edits": "all"}}, '"context_management"'),
        ({"context_management": {"edits": [], "more": 1}}, '"context_management"'),
        ({"context_management": 5}, '"context_management"'),
        ({"speed": "faster"}, '"speed"'),
        ({"speed": {}}, '"speed"'),
        ({"service_tier": "priority"}, '"service_tier"'),
        ({"inference_geo": 5}, '"inference_geo"'),
        ({"requests": [{}]}, '"requests"'),
        ({"custom_id": "a"}, '"custom_id"'),
        ({"betas": ["x"]}, '"betas"'),
        ({"billing_policy": {}}, '"billing_policy"'),
        ({"n": 4}, '"n"'),
        ({"stream": "yes"}, '"stream"'),
        ({"model": None}, '"model"'),
        ({"model": ""}, '"model"'),
        ({"system": 5}, '"system"'),
        ({"system": ["a"]}, '"system"'),
        ({"messages": None}, '"messages"'),
        ({"messages": []}, '"messages"'),
        ({"messages": {"role": "user"}}, '"messages"'),
        ({"messages": ["a"]}, "message"),
        ({"messages": [{"role": "user", "content": 5}]}, "content"),
        ({"messages": [{"role": "user"}]}, "content"),
        ({"messages": [{"role": "user", "content": [{"type": "tool_addition", "tool": {}}]}]}, "tool_addition"),
        ({"messages": [{"role": "user", "content": [{"type": "container_upload"}]}]}, "container_upload"),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result", "content": 4}]}]}, "result"),
    ],
)
def test_what_cannot_be_bounded_is_refused_by_name(fields: dict[str, Any], named: str) -> None:
    """The free model included: what it may do is not a matter of price."""
    assert named in refused(make_body(**fields))
    assert named in refused(make_body(**fields), price=FREE)


@pytest.mark.parametrize(
    "fields",
    [
        {"mcp_servers": [], "container": None, "thread": None, "fallbacks": None, "context_management": None},
        {"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}, {"type": "clear_thinking_20251015"}]}},
        {"speed": "standard", "service_tier": "auto"},
        {"service_tier": "standard_only", "stream": True, "metadata": {"user_id": "u"}, "stop_sequences": ["x"]},
        {"fallbacks": []},
        {"tools": [{"name": "t", "input_schema": {"type": "object"}}, {"type": "custom", "name": "u"}]},
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}, "temperature": 1, "tool_choice": {}},
        {"system": [{"type": "text", "text": "Be brief."}], "diagnostics": {"previous_message_id": None}},
    ],
)
def test_ordinary_requests_pass(fields: dict[str, Any]) -> None:
    assert held(make_body(**fields)).hold > 0


@pytest.mark.parametrize(
    ("kind", "tokens"),
    [
        ("bash_20250124", 1_500),
        ("text_editor_20250728", 1_500),
        ("memory_20250818", 1_500),
        ("computer_20251124", 1_500),
        ("computer_toolset_20260801", 17 * 1_500),
        ("browser_toolset_20260801", 31 * 1_500),
        (None, 64),
        ("custom", 64),
    ],
)
def test_a_tool_that_runs_in_the_client_costs_what_is_written_around_it(kind: str | None, tokens: int) -> None:
    """The vendor's own among them: their definitions are kept where no byte of the request shows them."""
    body = make_body(tools=[{"name": "x"} if kind is None else {"type": kind}])

    assert held(body).input_tokens == len(json.dumps(body)) + 1_064 + tokens


def test_every_tool_type_of_the_sdk_is_known_or_refused_by_name() -> None:
    """A type that the SDK has and that is none of ours must not pass for one of the client's own."""
    for kind in sdk_tool_types():
        found = bound(make_body(tools=[{"type": kind}]), price=PRICE, max_output_tokens=None)
        assert isinstance(found, Bound) == kind.startswith(
            ("custom", "bash_", "text_editor_", "memory_", "computer_", "browser_")
        )


def sdk_tool_types() -> list[str]:
    from anthropic.types.beta import beta_tool_union_param

    kinds = set()
    for model in get_args(beta_tool_union_param.BetaToolUnionParam):
        kinds.update(get_args(get_type_hints(model)["type"]))
    found = sorted(kind for kind in kinds if isinstance(kind, str))
    assert "web_search_20260318" in found
    return found


SEARCH = {"type": "web_search_20250305", "name": "web_search"}
FETCH = {"type": "web_fetch_20260318", "name": "web_fetch"}


def test_a_tool_at_the_vendor_is_held_for_every_use() -> None:
    """One more pass over a whole window, and one more answer, for each; a search ten dollars a thousand beside."""
    found = held(make_body(tools=[SEARCH, FETCH], max_tokens=1_000), server_tools={"web_search": 3, "web_fetch": 2})

    assert [tool["max_uses"] for tool in found.body["tools"]] == [3, 2]
    assert found.hold == 6 * (200_000 + 5 * 1_000) + 3 * 10_000
    assert (found.input_tokens, found.output_tokens, found.grows) == (1_200_000, 6_000, True)


def test_the_passes_of_a_tool_at_the_vendor_are_held_at_the_tier_of_all_of_them() -> None:
    """An answer may tell them as one total, which is longer than any one prompt."""
    price = make_price(tiers=((200_000, 0),))

    found = held(make_body(tools=[SEARCH]), price=price, server_tools={"web_search": 1})

    assert found.hold == 2 * 5 * (200_000 + 500) + 10_000
    assert cost(price, Usage(model="m", input=400_000, output=200, web_searches=1)) == found.hold


@pytest.mark.parametrize(("asked", "sent"), [(None, 3), (1, 1), (3, 3), (9, 3)])
def test_the_uses_of_a_tool_at_the_vendor_are_clamped(asked: int | None, sent: int) -> None:
    tool = SEARCH if asked is None else {**SEARCH, "max_uses": asked}
    body = make_body(tools=[tool])

    found = held(body, server_tools={"web_search": 3})

    assert found.body["tools"][0]["max_uses"] == sent
    assert body["tools"] == [tool]


@pytest.mark.parametrize(
    ("tools", "named"),
    [
        ([{**SEARCH, "max_uses": 0}], '"max_uses"'),
        ([{**SEARCH, "max_uses": "3"}], '"max_uses"'),
        ([{**SEARCH, "max_uses": True}], '"max_uses"'),
        ([{**SEARCH, "allowed_callers": ["code_execution_20260521"]}], '"allowed_callers"'),
        ([{**SEARCH, "allowed_callers": []}], '"allowed_callers"'),
        ([SEARCH, SEARCH], "twice"),
        ([FETCH], "web_fetch = 3"),
    ],
)
def test_uses_at_the_vendor_that_nobody_limits_are_refused(tools: list[Any], named: str) -> None:
    assert named in refused(make_body(tools=tools), server_tools={"web_search": 3})


def test_only_the_model_calls_a_tool_at_the_vendor() -> None:
    """From 2026 on the vendor's code may call them too, unless the request says who may."""
    found = held(make_body(tools=[FETCH]), server_tools={"web_fetch": 1})

    assert found.body["tools"] == [{**FETCH, "max_uses": 1, "allowed_callers": ["direct"]}]


def test_a_tool_at_the_vendor_needs_a_known_window() -> None:
    assert '"context" under [prices]' in refused(
        make_body(tools=[SEARCH]), price=make_price(context=None), server_tools={"web_search": 1}
    )


def test_fast_answers_are_held_at_their_own_price() -> None:
    slow, quick = make_price(), make_price(dear=2)

    fast = held(make_body(speed="fast"), price=replace(slow, fast=quick))

    assert fast.hold == 2 * (fast.input_tokens + 500)
    assert fast.fast
    assert "no known price" in refused(make_body(speed="fast"))
    assert held(make_body(speed="fast"), price=FREE).hold == 0


CHEAP, DEAR = make_price(), make_price(dear=10)
CHAIN = {"claude-opus-5": DEAR, "claude-haiku-4-5": CHEAP}


def test_every_model_of_a_fallback_chain_is_held_for() -> None:
    """Each goes on from what the ones before it wrote."""
    body = make_body(
        fallbacks=[{"model": "claude-opus-5", "max_tokens": 400}, {"model": "claude-haiku-4-5"}], max_tokens=100
    )

    found = held(body, price_of=CHAIN.get)

    first = found.input_tokens // 3 - 200
    assert found.input_tokens == first + (first + 100) + (first + 500)
    assert found.hold == (first + 500) + 10 * (first + 100 + 5 * 400) + (first + 500 + 500)
    assert found.output_tokens == 100 + 400 + 100
    assert found.grows


def test_the_answers_of_a_fallback_chain_are_clamped_too() -> None:
    chain = [{"model": "claude-opus-5", "max_tokens": 400}, {"model": "claude-haiku-4-5", "max_tokens": None}]

    found = held(make_body(fallbacks=chain), limit=50, price_of=CHAIN.get)

    assert found.body["fallbacks"] == [{**chain[0], "max_tokens": 50}, chain[1]]
    assert found.output_tokens == 150


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"fallbacks": "default"}, "names each model"),
        ({"fallbacks": ["claude-opus-5"]}, "names each model"),
        ({"fallbacks": [{}]}, "null"),
        ({"fallbacks": [{"model": "claude-opus-5"}] * 9}, "8 at most"),
        ({"fallbacks": [{"model": "claude-mythos-5"}]}, "claude-mythos-5"),
        ({"fallbacks": [{"model": ["claude-opus-5"]}]}, "claude-opus-5"),
        ({"fallbacks": [{"model": "claude-opus-5", "tools": []}]}, "tools"),
        ({"fallbacks": [{"model": "claude-opus-5", "speed": "fast"}]}, "speed"),
        ({"fallbacks": [{"model": "claude-opus-5", "max_tokens": -1}]}, '"max_tokens"'),
        ({"fallbacks": [{"model": "claude-opus-5", "thinking": {"budget_tokens": 90}}]}, "thinking"),
        ({"fallbacks": [{"model": "claude-opus-5"}], "speed": "fast"}, '"speed"'),
        ({"fallbacks": [{"model": "claude-opus-5"}], "tools": [SEARCH]}, '"fallbacks"'),
    ],
)
def test_a_fallback_that_nobody_can_price_is_refused(fields: dict[str, Any], named: str) -> None:
    price = replace(PRICE, fast=PRICE)

    assert named in refused(
        make_body(**fields), price=price, limit=90, price_of=CHAIN.get, server_tools={"web_search": 1}
    )


@pytest.mark.parametrize(
    ("source", "fields"),
    [
        ({"type": "text", "media_type": "text/plain", "data": "A long day."}, {"title": "Diary"}),
        ({"type": "content", "content": "A long day."}, {"citations": {"enabled": False}}),
        ({"type": "content", "content": [{"type": "text", "text": "A long day."}]}, {"citations": None}),
    ],
)
def test_a_document_of_plain_text_counts_by_its_bytes(source: dict[str, Any], fields: dict[str, Any]) -> None:
    body = make_body([{"type": "document", "source": source, **fields}])

    assert held(body).input_tokens == len(json.dumps(body)) + 1_064


def test_pictures_in_a_document_count() -> None:
    pictured = {"type": "document", "source": {"type": "content", "content": [IMAGE, IMAGE]}}

    assert 12_000 < held(make_body([pictured])).input_tokens < 14_000


def make_opening(**counts: Any) -> Usage:
    return Usage(**{"model": "claude-haiku-4-5", "input": 10, "output": 0, **counts})


def test_the_opening_of_an_answer_lowers_the_hold_to_its_exact_input() -> None:
    found = held(make_body("x" * 9_000))

    assert refined(found, make_opening(cache_read=100), price=PRICE) == 10 + 10 + 5 * 100
    assert refined(found, make_opening(us_only=True), price=PRICE) == 561
    assert refined(held(make_body(inference_geo=None)), make_opening(), price=PRICE) == 561


def test_an_opening_never_raises_a_hold() -> None:
    found = held(make_body())

    assert refined(found, make_opening(input=10**6), price=PRICE) == found.hold
    assert refined(found, make_opening(fast=True), price=PRICE) == found.hold


def test_a_hold_for_several_passes_stands_as_it_is() -> None:
    """The opening tells the first of them."""
    searching = held(make_body(tools=[SEARCH]), server_tools={"web_search": 1})
    falling = held(make_body(fallbacks=[{"model": "claude-opus-5"}]), price_of=CHAIN.get)

    for found in (searching, falling):
        assert refined(found, make_opening(), price=PRICE) == found.hold


def test_a_fast_answer_is_refined_at_its_own_price() -> None:
    price = replace(PRICE, fast=make_price(dear=2))

    assert refined(held(make_body(speed="fast"), price=price), make_opening(), price=price) == 2 * (10 + 500)


@pytest.mark.parametrize("body", [None, 5, "x", [], [1], True])
def test_what_is_no_request_is_refused(body: object) -> None:
    assert "not a JSON object" in refused(body)


def test_nesting_is_bounded() -> None:
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]

    assert f"{MOST_DEPTH} levels" in refused(make_body(deep))


def test_a_number_too_long_to_write_is_refused() -> None:
    assert "JSON" in refused(make_body(metadata={"n": 10**5_000}))


def test_a_free_model_is_bounded_at_nothing() -> None:
    """Whatever is in it, and with no limit of its own."""
    body = make_body([{"type": "document"}])
    del body["max_tokens"]

    found = held(body, price=FREE)

    assert (found.hold, found.output_tokens, found.body) == (0, 0, body)
    assert held(body, price=FREE, limit=70).body["max_tokens"] == 70


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10)
names = st.text(max_size=8) | st.just("type")
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4), max_leaves=15
)
KEYS = st.sampled_from(
    [
        *("model", "messages", "max_tokens", "system", "tools", "thinking", "cache_control", "context_management"),
        *("inference_geo", "speed", "stream", "service_tier", "content", "source", "mcp_servers", "fallbacks"),
    ]
)


@given(body=json_values | st.dictionaries(KEYS, json_values), limit=st.none() | st.integers(0, 10**6))
def test_no_body_of_any_shape_raises(body: Any, limit: int | None) -> None:
    for price in (PRICE, FREE):
        found = bound(
            body, price=price, max_output_tokens=limit, server_tools={"web_search": 1}, price_of=lambda _: PRICE
        )
        assert isinstance(found, Unbounded) or found.hold >= 0


@given(key=KEYS, value=json_values, content=json_values)
def test_no_field_of_any_shape_raises(key: str, value: Any, content: Any) -> None:
    allowed: dict[str, Any] = {"server_tools": {"web_search": 1}, "price_of": lambda _: PRICE}
    for body in (
        make_body(**{key: value}),
        make_body(fallbacks=[{"model": "m", key: value}]),
        make_body(tools=[{**SEARCH, key: value, "max_uses": value, "allowed_callers": content}]),
        make_body(tools=[{"type": value, "name": content}], thinking={"budget_tokens": value}),
        make_body([{"type": "document", "source": {"type": "content", "content": content}, "citations": value}]),
    ):
        bound(body, price=PRICE, max_output_tokens=50, **allowed)
    bound(make_body([{"type": "tool_result", "content": content}, content]), price=PRICE, max_output_tokens=None)


@given(
    data=st.data(), text=st.text(max_size=2_000), window=st.none() | st.integers(1, 10_000), tier=st.integers(1, 4_000)
)
def test_no_usage_within_the_bound_costs_more_than_the_hold(
    data: st.DataObject, text: str, window: int | None, tier: int
) -> None:
    """Whichever way the prompt is spread over the classes it may use, at any tier, in any region."""
    ttl = data.draw(st.sampled_from([None, "5m", "1h"]))
    geo = data.draw(st.sampled_from([None, "us", "global"]))
    control = {"cache_control": {"type": "ephemeral", "ttl": ttl}} if ttl else {}
    price = make_price(context=window, tiers=((tier, 0),))
    found = held(make_body([{"type": "text", "text": text, **control}], inference_geo=geo), price=price)

    left = found.input_tokens
    spread = []
    for allowed in (True, True, ttl is not None, ttl == "1h"):
        spread.append(data.draw(st.integers(0, left)) if allowed else 0)
        left -= spread[-1]
    usage = Usage(
        model="m",
        input=spread[0],
        output=data.draw(st.integers(0, found.output_tokens)),
        cache_read=spread[1],
        cache_write_5m=spread[2],
        cache_write_1h=spread[3],
        us_only=geo != "global" and data.draw(st.booleans()),
    )

    assert cost(price, usage) <= found.hold


def test_a_price_for_prompts_past_the_window_says_that_the_window_is_not_the_limit() -> None:
    """Such a prompt is held in full, at that price; without one the window bounds it."""
    long = make_body("x" * 700_000)

    assert held(long).input_tokens == 200_000
    assert held(long, price=make_price(tiers=((200_000, 0),))).input_tokens > 700_000
    assert held(long, price=make_price(tiers=((100_000, 0),))).input_tokens == 200_000
