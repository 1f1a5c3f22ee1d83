"""What counts as complete usage, and that the cut of a stream's bytes never changes the answer."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import event as event_of
from hypothesis import given
from hypothesis import strategies as st

from runner.gate import sse
from runner.gate.messages_usage import MOST_PARTS, StreamUsage, from_message
from runner.gate.rates import FREE, Price, Rate, cost
from runner.gate.usage import MOST_TOKENS, Tokens, Usage, same_model

MODEL = "claude-haiku-4-5"


def make_message(*, model: object = MODEL, **counts: Any) -> dict[str, Any]:
    return {
        "type": "message",
        "model": model,
        "content": [{"type": "text", "text": "Hello"}],
        "usage": {"input_tokens": 10, "output_tokens": 5, **counts},
    }


def event(name: str, **fields: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **fields}, ensure_ascii=False)}\n\n".encode()


def start(*, model: str = MODEL, **counts: Any) -> bytes:
    return event("message_start", message=make_message(model=model, **{"output_tokens": 1, **counts}))


def delta(**counts: Any) -> bytes:
    return event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 42, **counts})


CONTENT = (
    event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    + event("ping")
    + event("content_block_delta", index=0, delta={"type": "text_delta", "text": "grün 漢字 🎉"})
    + event("content_block_stop", index=0)
)
STOP = event("message_stop")


def read(*parts: bytes, requested: str = MODEL) -> StreamUsage:
    reader = StreamUsage(requested)
    for part in parts:
        reader.feed(part)
    return reader


def test_a_whole_answer_counts_every_class_once() -> None:
    body = make_message(
        cache_read_input_tokens=300,
        cache_creation_input_tokens=70,
        cache_creation={"ephemeral_5m_input_tokens": 50, "ephemeral_1h_input_tokens": 20},
    )

    found = from_message(body, MODEL)

    assert found == Usage(model=MODEL, input=10, output=5, cache_read=300, cache_write_5m=50, cache_write_1h=20)
    assert found.prompt == 380


def test_cache_writes_of_unknown_lifetime_count_as_the_dearest() -> None:
    """Also the part that a breakdown leaves unexplained."""
    unsplit = from_message(make_message(cache_creation_input_tokens=70), MODEL)
    partly = from_message(
        make_message(cache_creation_input_tokens=70, cache_creation={"ephemeral_5m_input_tokens": 50}), MODEL
    )

    assert unsplit is not None
    assert (unsplit.cache_write_5m, unsplit.cache_write_1h) == (0, 70)
    assert partly is not None
    assert (partly.cache_write_5m, partly.cache_write_1h) == (50, 20)


@pytest.mark.parametrize("bad", [None, -1, 1.5, "7", True, MOST_TOKENS + 1, [], {}])
@pytest.mark.parametrize("key", ["input_tokens", "output_tokens"])
def test_a_count_that_makes_no_sense_leaves_the_hold_standing(key: str, bad: object) -> None:
    assert from_message(make_message(**{key: bad}), MODEL) is None


@pytest.mark.parametrize(
    "extra",
    [
        {"server_tool_use": {"web_search_requests": "1"}},
        {"server_tool_use": {"something_new": 1}},
        {"server_tool_use": "yes"},
        {"speed": "faster"},
        {"speed": 2},
        {"service_tier": "platinum"},
        {"service_tier": ["standard"]},
        {"inference_geo": 7},
        {"cache_creation": []},
        {"cache_read_input_tokens": -1},
        {"iterations": {}},
        {"iterations": [{"type": "unheard_of", "input_tokens": 1, "output_tokens": 1}]},
        {"iterations": [{"type": ["message"], "input_tokens": 1, "output_tokens": 1}]},
        {"iterations": [{"type": "message", "input_tokens": 1}]},
        {"iterations": [{"type": "message", "input_tokens": 1, "output_tokens": 1, "model": 5}]},
        {"iterations": [{"type": "advisor_message", "input_tokens": 1, "output_tokens": 1}]},
        {"iterations": [{"type": "fallback_message", "input_tokens": 1, "output_tokens": 1, "model": ""}]},
        {"iterations": [{"type": "message", "input_tokens": 0, "output_tokens": 0}] * (MOST_PARTS + 1)},
        {"iterations": [{"type": "message", "input_tokens": MOST_TOKENS, "output_tokens": 0}] * 2},
    ],
)
def test_usage_that_tokens_alone_do_not_price_is_not_complete(extra: dict[str, Any]) -> None:
    assert from_message(make_message(**extra), MODEL) is None


@pytest.mark.parametrize("body", [None, [], "x", 3, {}, {"usage": {}}, {"type": "error", "error": {}}])
def test_what_is_no_message_has_no_usage(body: object) -> None:
    assert from_message(body, MODEL) is None


@pytest.mark.parametrize("model", [None, "", 5, ["claude"]])
def test_an_answer_without_a_model_is_not_complete(model: object) -> None:
    assert from_message(make_message(model=model), MODEL) is None


def test_harmless_extras_are_nothing() -> None:
    body = make_message(
        server_tool_use={"web_search_requests": 0}, speed="standard", service_tier="priority", iterations=[]
    )

    assert from_message(body, MODEL) == Usage(model=MODEL, input=10, output=5)


@pytest.mark.parametrize(("geo", "pinned"), [(None, False), ("global", False), ("not_available", False), ("us", True)])
def test_a_pinned_region_is_told(geo: str | None, pinned: bool) -> None:
    found = from_message(make_message(inference_geo=geo), MODEL)

    assert found is not None
    assert found.us_only is pinned


def test_iterations_count_what_the_totals_leave_out() -> None:
    """Compaction is billed and is not in the totals; a fallback names its own model."""
    body = make_message(
        input_tokens=100,
        output_tokens=20,
        iterations=[
            {"type": "compaction", "input_tokens": 900, "output_tokens": 50},
            {"type": "message", "input_tokens": 100, "output_tokens": 20, "model": f"{MODEL}-20251001"},
            {"type": "fallback_message", "input_tokens": 1, "output_tokens": 1, "model": "claude-opus-5"},
        ],
    )

    found = from_message(body, MODEL)

    assert found is not None
    assert (found.input, found.output) == (1001, 71)
    assert found.other_models == ("claude-opus-5",)
    assert [(part.model, part.input, part.output) for part in found.parts] == [
        ("", 900, 50),
        (f"{MODEL}-20251001", 100, 20),
        ("claude-opus-5", 1, 1),
    ]
    assert found.rest == Tokens(input=0, output=0)


def test_totals_beyond_the_iterations_are_not_lost() -> None:
    """Also where the compaction beside them is larger."""
    body = make_message(
        input_tokens=150,
        output_tokens=20,
        cache_creation_input_tokens=30,
        iterations=[
            {"type": "compaction", "input_tokens": 900, "output_tokens": 50},
            {
                "type": "message",
                "input_tokens": 100,
                "output_tokens": 20,
                "cache_creation_input_tokens": 10,
                "cache_creation": {"ephemeral_5m_input_tokens": 10},
            },
        ],
    )

    found = from_message(body, MODEL)

    assert found is not None
    assert (found.input, found.cache_write_5m, found.cache_write_1h) == (1050, 10, 20)
    assert found.rest == Tokens(input=50, output=0, cache_write_1h=20)


def test_the_terms_of_the_answer_are_told() -> None:
    body = make_message(
        speed="fast", service_tier="batch", server_tool_use={"web_search_requests": 3, "web_fetch_requests": 2}
    )

    assert from_message(body, MODEL) == Usage(model=MODEL, input=10, output=5, fast=True, web_searches=3)


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        (MODEL, MODEL, True),
        (MODEL, f"{MODEL}-20251001", True),
        (f"{MODEL}-20251001", MODEL, True),
        (f"{MODEL}-20251001", f"{MODEL}-20260101", False),
        ("claude-opus-4-6", "claude-opus-4-6-fast", False),
        ("claude-opus-5", "claude-opus-5-5", False),
        (MODEL, f"{MODEL}-2025100", False),
        (MODEL, f"{MODEL}-20251001-x", False),
    ],
)
def test_an_id_is_the_same_with_its_date_and_with_nothing_else(left: str, right: str, same: bool) -> None:
    assert same_model(left, right) is same


def test_another_model_in_the_answer_is_reported() -> None:
    found = from_message(make_message(model="claude-opus-5"), MODEL)

    assert found is not None
    assert found.other_models == ("claude-opus-5",)


def test_a_stream_is_complete_with_start_final_counts_and_stop() -> None:
    reader = read(start(cache_read_input_tokens=8), CONTENT, delta(), STOP)

    assert reader.complete() == Usage(model=MODEL, input=10, output=42, cache_read=8)


@pytest.mark.parametrize(
    "parts",
    [
        (start(), CONTENT, delta()),
        (start(), CONTENT, STOP),
        (CONTENT, delta(), STOP),
        (delta(), start(), STOP),
        (start(), start(), delta(), STOP),
        (start(), delta(), STOP, delta()),
        (start(), delta(output_tokens=None), STOP),
        (start(), delta(output_tokens=-3), STOP),
        (start(), delta(input_tokens="many"), STOP),
        (start(), delta(server_tool_use={"code_runs": 2}), STOP),
        (start(), delta(), b"event: message_stop\ndata: {broken\n\n"),
        (start(), delta(), b"event: ping\ndata: x\n\nevent: message_stop\n\n"),
        (start(), delta(), b"event: other\ndata: " + STOP.split(b"data: ")[1]),
        (start(), delta(), STOP.removesuffix(b"\n")),
        (b"event: message_start\ndata: []\n\n", delta(), STOP),
        (start(), delta(), STOP, event("error", error={"type": "overloaded_error"})),
    ],
)
def test_a_stream_with_anything_missing_or_odd_is_not_complete(parts: tuple[bytes, ...]) -> None:
    assert read(*parts).complete() is None


def test_the_stub_output_of_a_start_is_never_settled() -> None:
    assert read(start(output_tokens=1), delta(output_tokens=0), STOP).complete() == Usage(
        model=MODEL, input=10, output=0
    )


def test_repeated_counts_are_cumulative_and_never_added() -> None:
    """The largest seen holds; what a delta leaves out is as the start said."""
    reader = read(
        start(cache_creation_input_tokens=70, cache_creation={"ephemeral_5m_input_tokens": 70}),
        delta(output_tokens=20),
        delta(output_tokens=42, input_tokens=12, cache_creation_input_tokens=90, cache_read_input_tokens=None),
        STOP,
    )

    assert reader.complete() == Usage(model=MODEL, input=12, output=42, cache_write_5m=70, cache_write_1h=20)


def test_searches_of_a_stream_are_cumulative_too() -> None:
    reader = read(
        start(server_tool_use={"web_search_requests": 0, "web_fetch_requests": 0}),
        delta(server_tool_use={"web_search_requests": 2}),
        delta(server_tool_use={"web_search_requests": 2, "web_fetch_requests": 1}),
        STOP,
    )

    assert reader.complete() == Usage(model=MODEL, input=10, output=42, web_searches=2)


def test_the_opening_tells_the_whole_input_and_no_output() -> None:
    counts = {"cache_read_input_tokens": 8, "cache_creation_input_tokens": 70, "inference_geo": "us"}
    reader = read(start(**counts, cache_creation={"ephemeral_5m_input_tokens": 70}))

    assert reader.opening() == Usage(model=MODEL, input=10, output=0, cache_read=8, cache_write_5m=70, us_only=True)
    assert read().opening() is None
    assert read(start()[:-1]).opening() is None


@pytest.mark.parametrize(
    "parts",
    [
        (start(model="claude-opus-5"),),
        (start(server_tool_use={"web_search_requests": 1}),),
        (start(iterations=[{"type": "message", "input_tokens": 1, "output_tokens": 1}] * 2),),
        (start(input_tokens=None),),
        (start(), start()),
        (start(), event("error", error={"type": "overloaded_error"})),
    ],
)
def test_an_opening_that_is_not_the_whole_input_is_none(parts: tuple[bytes, ...]) -> None:
    assert read(*parts).opening() is None


def test_an_error_event_is_told_and_ends_the_hope() -> None:
    reader = read(start(), CONTENT, event("error", error={"type": "overloaded_error", "message": "busy"}))

    assert reader.error_type == "overloaded_error"
    assert reader.complete() is None


def test_other_line_ends_comments_and_split_data_are_the_same_stream() -> None:
    plain = start() + CONTENT + delta() + STOP
    data = delta().split(b"data: ")[1]
    half = data.index(b",") + 1
    folded = b"event: message_delta\n: a comment\nid: 7\ndata: " + data[:half] + b"\ndata:" + data[half:]

    for stream in (
        plain.replace(b"\n", b"\r\n"),
        plain.replace(b"\n", b"\r"),
        b"\xef\xbb\xbf" + plain,
        start() + CONTENT + folded + STOP,
        plain + b"data: [DONE]\n\n",
    ):
        assert read(stream).complete() == Usage(model=MODEL, input=10, output=42)


STREAM = start(cache_read_input_tokens=8) + CONTENT + b": keep-alive\r\n" + delta() + STOP


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=40), ends=st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_any_cut_of_the_bytes_reads_the_same(cuts: list[int], ends: bytes) -> None:
    stream = STREAM.replace(b"\r\n", b"\n").replace(b"\n", ends)
    places = sorted({0, len(stream), *(min(cut, len(stream)) for cut in cuts)})

    reader = read(*(stream[left:right] for left, right in pairwise(places)))

    assert reader.complete() == Usage(model=MODEL, input=10, output=42, cache_read=8)


@given(noise=st.binary(max_size=300), place=st.integers(0, len(STREAM)), cut=st.integers(0, len(STREAM)))
def test_noise_never_raises_and_reads_the_same_however_it_is_cut(noise: bytes, place: int, cut: int) -> None:
    stream = STREAM[:place] + noise + STREAM[place:]

    whole, parts, drops = read(stream), read(stream[:cut], stream[cut:]), read(*(bytes([each]) for each in stream))

    for other in (parts, drops):
        assert (whole.complete(), whole.error_type, whole.broken) == (other.complete(), other.error_type, other.broken)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(list("ab")) | st.text(), inner),
        max_leaves=12,
    )
)
def test_usage_of_any_shape_never_raises(junk: Any) -> None:
    from_message({"type": "message", "model": MODEL, "usage": junk}, MODEL)
    from_message(make_message(iterations=junk, cache_creation=junk, server_tool_use=junk, speed=junk), MODEL)
    read(event("message_start", message=junk), event("message_delta", usage=junk))
    read(start(), event("message_delta", usage=junk), event("error", error=junk))


odd = st.sampled_from([None, -1, True, 1.5, "7", [], {}, MOST_TOKENS, MOST_TOKENS + 1, 10**400, float("inf")])


def mostly(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Now and then something else."""
    return st.integers(0, 19).flatmap(lambda die: values if die else odd)


counts = mostly(st.integers(0, 10**7))
needed = {"input_tokens": counts, "output_tokens": counts}
cached = {
    "cache_read_input_tokens": counts,
    "cache_creation_input_tokens": counts,
    "cache_creation": mostly(
        st.dictionaries(st.sampled_from(["ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"]), counts)
    ),
}
models = mostly(st.sampled_from([MODEL, f"{MODEL}-20251001", "claude-opus-5"]))
passes = st.fixed_dictionaries(
    {
        "type": mostly(st.sampled_from(["message", "compaction", "advisor_message", "fallback_message"])),
        "model": models,
        **needed,
    },
    optional=cached,
)
reports = st.fixed_dictionaries(
    needed,
    optional={
        **cached,
        "iterations": mostly(st.lists(passes, max_size=3)),
        "speed": mostly(st.sampled_from(["standard", "fast"])),
        "service_tier": mostly(st.sampled_from(["standard", "priority", "batch"])),
        "inference_geo": mostly(st.sampled_from(["global", "us", ""])),
        "server_tool_use": mostly(
            st.dictionaries(st.sampled_from(["web_search_requests", "web_fetch_requests"]), counts)
        ),
    },
)
LISTED = Price(
    input=Rate(3, ((100, 7),)),
    output=Rate(11),
    cache_read=Rate(1),
    cache_write_5m=Rate(4),
    cache_write_1h=Rate(6),
    source="test",
    fast=FREE,
)


@given(report=reports, model=models)
def test_usage_that_is_told_has_a_cost_and_all_of_it_counts(report: Any, model: Any) -> None:
    """Whatever the answer says: nothing, or whole counts that add up to no less than its totals."""
    found = from_message({"type": "message", "model": model, "usage": report}, MODEL)

    if found is None:
        return
    event_of("told")
    others = dict.fromkeys(found.other_models, LISTED)
    assert type(cost(LISTED, found, others)) is int
    assert cost(LISTED, found, others) >= 0
    rest = found.rest
    for name in ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h"):
        assert type(getattr(found, name)) is int
        assert 0 <= getattr(rest, name) <= getattr(found, name) <= MOST_TOKENS
    assert found.input >= report["input_tokens"]
    assert found.output >= report["output_tokens"]
    assert found.cache_write_5m + found.cache_write_1h >= (report.get("cache_creation_input_tokens") or 0)
    assert json.loads(json.dumps(asdict(found)))["input"] == found.input  # as the ledger keeps it


@given(first=reports, last=reports, model=models, cut=st.integers(0, 2_000))
def test_any_usage_reads_the_same_wherever_the_stream_is_cut(first: Any, last: Any, model: Any, cut: int) -> None:
    stream = event("message_start", message={"model": model, "usage": first}) + CONTENT
    stream += event("message_delta", usage=last) + STOP

    whole, parts, drops = read(stream), read(stream[:cut], stream[cut:]), read(*(bytes([each]) for each in stream))

    for other in (parts, drops):
        assert (whole.complete(), whole.opening()) == (other.complete(), other.opening())
    used, opening = whole.complete(), whole.opening()
    if used is not None and opening is not None and not used.parts:
        assert used.input >= opening.input
        assert opening.output == 0


def test_a_line_too_long_to_keep_makes_the_stream_incomplete(monkeypatch: pytest.MonkeyPatch) -> None:
    """However it comes: in one piece, in many, or as many lines of one event."""
    monkeypatch.setattr(sse, "MOST_LINE", 1_000)
    long = b"data: " + b"x" * 1_200

    for parts in ([long + b"\n\n"], [long[at : at + 7] for at in range(0, len(long), 7)], [b"data: yyyyyyyy\n"] * 120):
        reader = read(start(), *parts, delta(), STOP)
        assert reader.broken
        assert reader.complete() is None


def test_content_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many lines of content in one event pass where the same of another event would not."""
    monkeypatch.setattr(sse, "MOST_LINE", 1_000)
    content = b"event: content_block_delta\n" + b"data: yyyyyyyyyyyyyyyy\n" * 500 + b"\n"

    assert read(start(), content, delta(), STOP).complete() is not None
