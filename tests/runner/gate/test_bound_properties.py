"""Whatever is asked, no upstream that counts truthfully can bill more than was held.

Requests of every kind of block, script and nesting are made up, each with the largest prompt it can stand for. A
truthful upstream then answers: it may split words into bytes, fold signs as it likes, make 4,005 tokens of a picture,
read a document as long as its window, take every pass it was allowed, and write to the last token of each limit.
"""

from __future__ import annotations

import copy
import json
import unicodedata
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from runner.gate.estimate import Bound, bound, refined
from runner.gate.messages_usage import StreamUsage, from_message
from runner.gate.rates import FREE, Price, Rate, cost
from runner.gate.usage import Usage

MODEL, FALLBACK = "claude-haiku-4-5", "claude-opus-5"
MOST_OF_PICTURE = 4_005  # measured, of the newest models; see spend.md § 3
ALLOWED = {"web_search": 2, "web_fetch": 1}


def rates(low: int, high: int) -> st.SearchStrategy[Rate]:
    tiers = st.lists(st.tuples(st.integers(1, 60_000), st.integers(low, 3 * high)), max_size=2)
    return st.builds(Rate, st.integers(low, high), tiers.map(tuple))


standard = st.builds(
    Price,
    input=rates(10**5, 10**7),
    output=rates(0, 10**8),
    cache_read=rates(0, 10**6),
    cache_write_5m=rates(10**5, 10**7),
    cache_write_1h=rates(10**5, 10**8),
    context=st.none() | st.integers(2_000, 200_000),
    source=st.just("test"),
    web_search=st.integers(0, 10**10),
)
prices = st.tuples(standard, st.none() | standard).map(
    lambda pair: replace(pair[0], fast=pair[1] and replace(pair[1], context=pair[0].context))
)

short = st.text(max_size=40) | st.sampled_from(
    [
        "plain words, and a number: 42",
        "Zażółć gęślą jaźń — “quoted”",
        "漢字かな交じり文。",
        "بِسْمِ ٱللَّٰهِ \ufdfa \ufdfb",
        "한국어 텍스트 ㎏ ㍿ ½",
        "👩‍👩‍👧‍👦 🇩🇪 🏳️‍🌈",
        "z\u0351\u036b\u0343a\u0327\u0315\u0321l\u0489go" * 3,
        "\u01d6\u0328 \u0344\u0390",
        "def f(x):\n\treturn {'a': [x] * 9}\r\n",
        'quotes " and \\ and \u0000 and \x7f',
        "lone \ud800 surrogate",
        "𝕬𝖓𝖈𝖎𝖊𝖓𝖙 𒀀𒀁",
        "\ufdfa" * 60,
    ]
)
texts = short | st.builds(str.__mul__, short, st.integers(10, 100))
"""Long ones too, beside which what JSON adds is little: the bound is then as tight as it gets."""
ttls = st.sampled_from([{"type": "ephemeral"}, {"type": "ephemeral", "ttl": "5m"}, {"type": "ephemeral", "ttl": "1h"}])
json_inputs = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
pictures = st.builds(
    lambda data: {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}},
    st.text("ABab01+/=", max_size=2_000),
)
opaque = st.sampled_from(
    [
        {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
        {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}},
        {"type": "document", "source": {"type": "url", "url": "https://example.org/a.pdf"}},
        {"type": "document", "source": {"type": "text", "data": "One. Two."}, "citations": {"enabled": True}},
        {"type": "compaction", "content": "What went before."},
        {"type": "web_search_tool_result", "tool_use_id": "t", "content": []},
        {"type": "unheard_of"},
    ]
)
plain_blocks = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, texts),
    st.builds(lambda text, control: {"type": "text", "text": text, "cache_control": control}, texts, ttls),
    st.builds(lambda text: {"type": "thinking", "thinking": text, "signature": "c2ln"}, texts),
    st.builds(lambda text: {"type": "redacted_thinking", "data": text}, texts),
    st.builds(lambda value: {"type": "tool_use", "id": "t", "name": "n", "input": {"x": value}}, json_inputs),
    st.builds(
        lambda text: {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": text}}, texts
    ),
    pictures,
    opaque,
)
blocks = st.recursive(
    plain_blocks,
    lambda inner: st.lists(inner, max_size=3).flatmap(
        lambda content: st.sampled_from(
            [
                {"type": "tool_result", "tool_use_id": "t", "content": content},
                {"type": "search_result", "source": "s", "title": "t", "content": content},
                {"type": "document", "source": {"type": "content", "content": content}},
            ]
        )
    ),
    max_leaves=6,
)
contents = texts | st.lists(blocks, min_size=1, max_size=4)
tools = st.one_of(
    st.builds(lambda d, v: {"name": "t", "description": d, "input_schema": {"enum": v}}, texts, json_inputs),
    st.sampled_from([{"type": "bash_20250124", "name": "bash"}, {"type": "computer_toolset_20260801"}]),
    st.builds(lambda most: {"type": "web_search_20250305", "name": "web_search", "max_uses": most}, st.integers(1, 4)),
    st.just({"type": "web_fetch_20260318", "name": "web_fetch"}),
)


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    """Any request a client may send, most of which are served."""
    body: dict[str, Any] = {"model": MODEL, "max_tokens": draw(st.integers(0, 5_000))}
    count = draw(st.integers(1, 3))
    body["messages"] = [{"role": "user", "content": draw(contents)} for _ in range(count)]
    optional: dict[str, st.SearchStrategy[Any]] = {
        "system": texts,
        "tools": st.lists(tools, max_size=3, unique_by=lambda tool: tool.get("name", tool.get("type"))),
        "speed": st.sampled_from(["standard", "fast"]),
        "inference_geo": st.sampled_from([None, "us", "global"]),
        "cache_control": ttls,
        "thinking": st.sampled_from([{"type": "adaptive"}, {"type": "enabled", "budget_tokens": 1_024}]),
        "fallbacks": st.lists(
            st.sampled_from([{"model": FALLBACK}, {"model": FALLBACK, "max_tokens": 900}]), max_size=2
        ),
        "stream": st.booleans(),
    }
    for key, values in optional.items():
        if draw(st.integers(0, 1 if key in ("tools", "fallbacks") else 3)) == 0:
            body[key] = draw(values)
    return copy.deepcopy(body)


@dataclass(frozen=True)
class Reading:
    """The most a truthful upstream can make of a prompt."""

    tokens: int
    whole_window: bool


def read(body: dict[str, Any]) -> Reading:
    pictures, unseen = 0, False

    def seen(value: Any) -> Any:
        """The value without what is no text, which is counted on the way."""
        nonlocal pictures, unseen
        if isinstance(value, list):
            return [seen(each) for each in value]
        if not isinstance(value, dict):
            return value
        source = value.get("source")
        kind = source.get("type") if isinstance(source, dict) else None
        if value.get("type") == "image" and kind == "base64":
            pictures += 1
            return None
        if kind in ("url", "file", "base64") or value.get("citations"):
            unseen = True
        if value.get("type") in ("compaction", "web_search_tool_result", "unheard_of"):
            unseen = True
        return {key: seen(each) for key, each in value.items()}

    shown = seen([body["messages"], body.get("system"), body.get("tools")])
    given_tools = body.get("tools") or []
    defined = sum(
        {"bash_20250124": 1, "computer_toolset_20260801": 17}.get(tool.get("type"), 0) for tool in given_tools
    )
    tokens = written(shown) + 1_000 + 64 * len(body["messages"]) + MOST_OF_PICTURE * pictures + 1_500 * defined
    return Reading(tokens, unseen)


def written(value: Any) -> int:
    """A token for each byte of all text in it, after whichever folding makes more."""
    leaves: list[str] = []

    def walk(each: Any) -> None:
        if isinstance(each, str):
            leaves.append(each)
        elif isinstance(each, list):
            for one in each:
                walk(one)
        elif isinstance(each, dict):
            for key, one in each.items():
                walk(key)
                walk(one)
        elif each is not None:
            leaves.append(json.dumps(each))

    walk(value)
    plain = sum(len(leaf.encode("utf-8", "surrogatepass")) for leaf in leaves)
    folded = sum(len(unicodedata.normalize("NFKC", leaf).encode("utf-8", "surrogatepass")) for leaf in leaves)
    return max(plain, folded)


def lifetimes(body: dict[str, Any]) -> set[str]:
    text = json.dumps(body)
    found = {"5m"} if '"cache_control"' in text else set()
    return found | ({"1h"} if '"ttl": "1h"' in text else set())


@st.composite
def bills(draw: st.DrawFn, sent: dict[str, Any], listed: dict[str, Price]) -> dict[str, Any]:
    """An answer to the request as it was sent, with the usage of a truthful upstream that spares nobody."""
    reading, may_write = read(sent), lifetimes(sent)
    greedy = draw(st.booleans())
    """Takes all of everything, and bills it by the dearest class it may."""

    def up_to(most: int) -> int:
        return most if greedy else draw(st.integers(0, most))

    def usage(model: str, most_in: int, most_out: int) -> dict[str, Any]:
        prompt, price = up_to(most_in), listed[model]
        rates = {"input_tokens": price.input, "cache_read_input_tokens": price.cache_read}
        written = {"5m": price.cache_write_5m, "1h": price.cache_write_1h}
        rates |= {f"ephemeral_{ttl}_input_tokens": rate for ttl, rate in written.items() if ttl in may_write}
        dearest = sorted(rates, key=lambda name: -rates[name].at(prompt))
        counts = dict.fromkeys(rates, 0)
        for name in dearest if greedy else draw(st.permutations(dearest)):
            counts[name] = up_to(prompt)
            prompt -= counts[name]
        counts["input_tokens"] += prompt
        split = {name: counts.pop(name) for name in list(counts) if name.startswith("ephemeral_")}
        return {
            **counts,
            "output_tokens": up_to(most_out),
            "cache_creation_input_tokens": sum(split.values()),
            "cache_creation": split,
        }

    def most(model: str, before: int = 0) -> int:
        """No prompt is longer than the window of its model."""
        window = listed[model].context
        if window is None:
            return reading.tokens + before
        return window if reading.whole_window or uses else min(window, reading.tokens + before)

    uses = sum(tool.get("max_uses", 0) for tool in sent.get("tools") or [])
    parts = [{"type": "message", "model": MODEL, **usage(MODEL, most(MODEL), sent["max_tokens"])}]
    for _ in range(up_to(uses)):
        parts.append({"type": "message", **usage(MODEL, most(MODEL), sent["max_tokens"])})
    answering, before = MODEL, sent["max_tokens"]
    chain = sent.get("fallbacks") or []
    for entry in chain[: up_to(len(chain))]:
        answering = entry["model"]
        out = entry.get("max_tokens") or sent["max_tokens"]
        told_by = {"type": "fallback_message", "model": answering}
        parts.append({**told_by, **usage(answering, most(answering, before), out)})
        before += out
    totals = parts[-1] if chain else merged(parts)
    told = {"iterations": parts} if chain or draw(st.booleans()) else {}
    pinned = sent.get("inference_geo") != "global" and (greedy or draw(st.booleans()))
    searched = sum(tool.get("max_uses", 0) for tool in sent.get("tools") or [] if tool.get("name") == "web_search")
    return {
        "type": "message",
        "model": answering,
        "usage": {
            **{key: value for key, value in totals.items() if key not in ("type", "model")},
            **told,
            "inference_geo": "us" if pinned else "global",
            "speed": sent.get("speed"),
            "service_tier": draw(st.sampled_from([None, "standard", "priority"])),
            "server_tool_use": {"web_search_requests": up_to(searched), "web_fetch_requests": 0},
        },
    }


def merged(parts: list[dict[str, Any]]) -> dict[str, Any]:
    total: dict[str, Any] = {"cache_creation": {}}
    for part in parts:
        for key, value in part.items():
            if isinstance(value, int):
                total[key] = total.get(key, 0) + value
        for key, value in part["cache_creation"].items():
            total["cache_creation"][key] = total["cache_creation"].get(key, 0) + value
    return total


def billed(price: Price, used: Usage, chain: Price) -> int:
    others = dict.fromkeys(used.other_models, chain)
    found = cost(price, used, others)
    assert found is not None
    return found


def held(body: dict[str, Any], price: Price, chain: Price, limit: int | None) -> Bound | None:
    found = bound(
        body,
        price=price,
        max_output_tokens=limit,
        server_tools=ALLOWED,
        price_of=lambda model: chain if model == FALLBACK else None,
    )
    if not isinstance(found, Bound):
        event(f"refused: {found.reason[:40]}")
        return None
    return found


@settings(max_examples=300)
@given(data=st.data(), body=requests(), price=prices, chain=standard, limit=st.none() | st.integers(1, 6_000))
def test_no_truthful_upstream_bills_more_than_was_held(
    data: st.DataObject, body: dict[str, Any], price: Price, chain: Price, limit: int | None
) -> None:
    """And never more than what is held once the answer has begun."""
    kept = copy.deepcopy(body)
    found = held(body, price, chain, limit)
    assert body == kept
    if found is None:
        return
    asked_at = price.fast if found.fast and price.fast else price
    answer = data.draw(bills(found.body, {MODEL: asked_at, FALLBACK: chain}))

    used = from_message(answer, MODEL)

    assert used is not None
    assert billed(price, used, chain) <= found.hold
    opening = read_opening(answer)
    if opening is not None:
        event("refined")
        assert billed(price, used, chain) <= refined(found, opening, price=price) <= found.hold


def read_opening(answer: dict[str, Any]) -> Usage | None:
    """What the start of the same answer tells as a stream: the first pass, a stub for its output, and no terms."""
    later = ("iterations", "server_tool_use", "inference_geo", "speed")
    usage = {key: value for key, value in answer["usage"].items() if key not in later}
    first = answer["usage"].get("iterations", [usage])[0]
    usage |= {key: value for key, value in first.items() if key not in ("type", "model")} | {"output_tokens": 1}
    start = {"type": "message_start", "message": {**answer, "usage": usage}}
    meter = StreamUsage(MODEL)
    meter.feed(b"event: message_start\ndata: " + json.dumps(start).encode() + b"\n\n")
    return meter.opening()


@given(body=requests(), price=prices, chain=standard, limit=st.none() | st.integers(1, 6_000))
def test_what_is_sent_asks_for_no_more_than_the_limits(
    body: dict[str, Any], price: Price, chain: Price, limit: int | None
) -> None:
    found = held(body, price, chain, limit)
    if found is None:
        return
    most = body["max_tokens"] if limit is None else limit

    assert found.body["max_tokens"] <= most
    assert all((entry.get("max_tokens") or 0) <= (limit or 900) for entry in found.body.get("fallbacks") or [])
    for tool in found.body.get("tools") or []:
        assert tool.get("max_uses", 0) <= ALLOWED.get(tool.get("name"), 0)
    limits = ("max_tokens", "tools", "fallbacks")
    assert {key: value for key, value in found.body.items() if key not in limits} == {
        key: value for key, value in body.items() if key not in limits
    }


@given(body=requests(), price=prices, chain=standard, more=st.integers(0, 10_000))
def test_a_longer_answer_never_lowers_the_hold(body: dict[str, Any], price: Price, chain: Price, more: int) -> None:
    short = held(body, price, chain, None)
    long = held({**body, "max_tokens": body["max_tokens"] + more}, price, chain, None)

    assert (short is None) == (long is None)
    assert short is None or long is None or short.hold <= long.hold


@given(body=requests(), price=prices, chain=standard, text=texts)
def test_more_text_never_lowers_the_hold(body: dict[str, Any], price: Price, chain: Price, text: str) -> None:
    longer = {**body, "messages": [*body["messages"], {"role": "user", "content": text}]}

    short, long = held(body, price, chain, None), held(longer, price, chain, None)

    assert (short is None) == (long is None)
    assert short is None or long is None or short.hold <= long.hold


@given(body=requests(), limit=st.integers(1, 6_000))
def test_a_model_that_costs_nothing_is_held_at_nothing(body: dict[str, Any], limit: int) -> None:
    found = held(body, FREE, FREE, limit)

    assert found is None or found.hold == 0
