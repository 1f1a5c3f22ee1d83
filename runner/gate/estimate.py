"""The most an Anthropic Messages request can cost, found before it is sent, or the sentence why nobody can say.

Bytes bound the tokens of text: a byte-level vocabulary never makes more tokens than bytes, and JSON only adds bytes.
Where that does not hold (pictures, documents, what the server keeps or fetches) the bound is a constant, the whole
context window, or a refusal. Source: spend.md § 3; its formula is `_input_bound`.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from runner.gate.rates import Price, micro
from runner.units import MicroUsd

MOST_DEPTH = 64
"""Levels of nesting beyond which a request is refused unread."""
MOST_OUTPUT = 10_000_000
"""A `max_tokens` above it is a mistake: no model writes a tenth of it."""

BASE_TOKENS = 1_000  # what the vendor puts around a prompt: its own words on tools, on the output's shape
MESSAGE_TOKENS = 64
IMAGE_TOKENS = 6_000  # up to 4,005 were measured
FOLD_SLICE = 256  # characters; see `_text_bound`

_KEYS = frozenset(
    {
        *("model", "messages", "system", "max_tokens", "stream", "stop_sequences", "metadata", "diagnostics"),
        *("temperature", "top_k", "top_p", "thinking", "output_config", "output_format", "tools", "tool_choice"),
        *("cache_control", "context_management", "inference_geo", "service_tier", "speed"),
    }
)
_REFUSED_KEYS = {
    "mcp_servers": "tools that run on the vendor's side cannot be priced beforehand",
    "container": "work in a container of the vendor cannot be priced beforehand",
    "thread": "a conversation kept by the vendor cannot be priced beforehand",
    "fallbacks": "a fallback to other models cannot be priced beforehand",
    "compaction": "compaction by the vendor cannot be priced beforehand",
    "requests": "batches are not served here",
}
_WINDOW_BETA = re.compile(r"context-\d", re.IGNORECASE)  # `context-1m-…`; `context-management-…` is harmless
_TEXT_BLOCKS = frozenset({"text", "thinking", "redacted_thinking", "tool_use", "tool_result", "search_result"})
_REFUSED_BLOCKS = frozenset({"tool_addition", "container_upload"})  # they can bring in tools that cost extra


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A request that can cost no more than `hold`."""

    input_tokens: int
    """Never fewer than will be billed; where the price is free, the text's alone if the window is not known."""
    output_tokens: int
    """The clamped `max_tokens`; 0 where a free model was given none."""
    hold: MicroUsd
    body: dict[str, Any]
    """The request to send: as it came, but for `max_tokens`."""


@dataclass(frozen=True, slots=True)
class Unbounded:
    """A request that must not be sent, for nobody can say what it may cost."""

    reason: str
    """One sentence for the person who asks why; names the field."""


def unpriced_beta(header: str) -> Unbounded | None:
    """Why the betas a client asks for leave its call without a bound; None: they change no limit we count on.

    `header`: the values of `anthropic-beta`, commas between them.
    """
    for beta in header.split(","):
        if _WINDOW_BETA.match(beta.strip()):
            return Unbounded(f"the beta {_named(beta.strip())} lets a prompt pass the context window the price is for")
    return None


class _Refusal(ValueError):
    """Its message is the reason."""


def bound(body: object, *, price: Price, max_output_tokens: int | None) -> Bound | Unbounded:
    """The upper bound of a request's cost at `price`, its output clamped to `max_output_tokens`.

    `body` may be of any shape that JSON has; it is not changed. Never raises.
    """
    try:
        return _bound(body, price, max_output_tokens)
    except _Refusal as refusal:
        return Unbounded(str(refusal))
    except (ValueError, OverflowError, RecursionError):
        return Unbounded("the request holds a number or a text that cannot be written as JSON")


def _bound(body: object, price: Price, limit: int | None) -> Bound:
    if not isinstance(body, dict):
        raise _Refusal("the request is not a JSON object")
    writes = _caching(body)
    _check_keys(body)
    output = _output_bound(body, price, limit)
    tokens = _input_bound(body, price)
    rates = [price.input.at(tokens), price.cache_read.at(tokens)]
    if writes:
        rates.append(price.cache_write_5m.at(tokens))
    if writes == "1h":
        rates.append(price.cache_write_1h.at(tokens))
    pico = tokens * max(rates) + (output or 0) * price.output.at(tokens)
    return Bound(
        input_tokens=tokens,
        output_tokens=output or 0,
        # A workspace may pin the region without a field in the request.
        hold=micro(pico, region=body.get("inference_geo") != "global"),
        body=body if output is None or output == body.get("max_tokens") else {**body, "max_tokens": output},
    )


def _check_keys(body: Mapping[str, Any]) -> None:
    for key, reason in _REFUSED_KEYS.items():
        if body.get(key) not in (None, []):
            raise _Refusal(f'"{key}" is refused: {reason}')
    for key, value in body.items():
        if key not in _KEYS and key not in _REFUSED_KEYS:
            raise _Refusal(f"the request has {_named(key)}, of which nobody here knows what it costs")
        if key in ("model", "inference_geo") and not (isinstance(value, str) or (value is None and key != "model")):
            raise _Refusal(f'"{key}" is not a text')
    if not body.get("model"):
        raise _Refusal('the request names no "model"')
    if not isinstance(body.get("stream", False), bool | None):
        raise _Refusal('"stream" is neither true nor false')
    if body.get("speed") not in (None, "standard"):
        raise _Refusal(f'"speed" {_named(body["speed"])} is refused: only the standard has a price')
    if body.get("service_tier") not in (None, "auto", "standard_only"):
        raise _Refusal(
            f'"service_tier" {_named(body["service_tier"])} is refused: only the standard tier has a price here'
        )
    _check_tools(body.get("tools"))
    _check_edits(body.get("context_management"))


def _check_tools(tools: object) -> None:
    if tools is None:
        return
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise _Refusal('"tools" is not a list of objects')
    for tool in tools:
        if tool.get("type") not in (None, "custom"):
            raise _Refusal(
                f"the tool type {_named(tool['type'])} is refused: only tools that run on this side may be given"
            )


def _check_edits(management: object) -> None:
    """Clearing old turns only shortens the prompt; compacting them is a second answer to pay for."""
    if management is None:
        return
    edits = management.get("edits", []) if isinstance(management, dict) else None
    if not isinstance(management, dict) or not isinstance(edits, list) or set(management) - {"edits"}:
        raise _Refusal('"context_management" is not an object with a list of edits')
    for edit in edits:
        kind = edit.get("type") if isinstance(edit, dict) else None
        if not isinstance(kind, str) or not kind.startswith("clear_"):
            raise _Refusal(f'the "context_management" edit {_named(kind)} is refused: only clearing costs nothing')


def _output_bound(body: Mapping[str, Any], price: Price, limit: int | None) -> int | None:
    """The clamped `max_tokens`; None only for a free model that was given neither."""
    asked = body.get("max_tokens")
    if asked is None:
        if not price.free:
            raise _Refusal('the request has no "max_tokens", so its answer has no bound')
        return limit
    if type(asked) is not int or not 0 <= asked <= MOST_OUTPUT:
        raise _Refusal(f'"max_tokens" {_named(asked)} is not a sensible number of tokens')
    if limit is None or asked <= limit:
        return asked
    thinking = body.get("thinking")
    budget = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
    if budget is not None and (type(budget) is not int or budget >= limit):
        raise _Refusal(f"thinking may take {_named(budget)} tokens, but an answer is limited to {limit} in all")
    return limit


def _input_bound(body: Mapping[str, Any], price: Price) -> int:
    images, opaque, image_bytes = 0, None, 0
    messages = body.get("messages")
    for block in _blocks(body.get("system"), messages):
        kind = block.get("type")
        source = block.get("source")
        if kind == "image" and isinstance(source, dict) and source.get("type") == "base64":
            images += 1
            data = source.get("data")
            if isinstance(data, str) and data.isascii():
                image_bytes += len(data)
        elif isinstance(kind, str) and kind in _REFUSED_BLOCKS:
            raise _Refusal(f"a content block of type {_named(kind)} is refused: it works on the vendor's side")
        elif not isinstance(kind, str) or kind not in _TEXT_BLOCKS:
            opaque = opaque or f"a content block of type {_named(kind)}"
    count = len(messages) if isinstance(messages, list) else 0
    tokens = _text_bound(json.dumps(body, ensure_ascii=False)) - image_bytes
    tokens += BASE_TOKENS + MESSAGE_TOKENS * count + IMAGE_TOKENS * images
    if price.context is not None:
        if opaque is not None:
            return max(price.context, tokens) if _beyond(price, price.context) else price.context
        return tokens if _beyond(price, price.context) else min(price.context, tokens)
    if opaque is None:
        return tokens
    if price.free:
        return tokens
    raise _Refusal(
        f"{opaque} has no bound of its own, and the model's context window is not known; "
        'state it as "context" under [prices]'
    )


def _beyond(price: Price, window: int) -> bool:
    """Whether there is a rate for prompts longer than the window, so that it cannot be the last word on length."""
    rates = (price.input, price.output, price.cache_read, price.cache_write_5m, price.cache_write_1h)
    return any(start >= window for rate in rates for start, _ in rate.tiers)


def _text_bound(text: str) -> int:
    """No tokenizer makes more tokens of the text than this.

    One of them folds text to NFKC first, which can make it eleven times longer (U+FDFA). Folding goes slice by slice,
    for on a long run of accents it takes time with its square; what a cut can hide is less than the 4 bytes added.
    """
    plain = len(text.encode("utf-8", "surrogatepass"))
    if text.isascii():
        return plain
    slices = (text[start : start + FOLD_SLICE] for start in range(0, len(text), FOLD_SLICE))
    folded = sum(4 + len(unicodedata.normalize("NFKC", each).encode("utf-8", "surrogatepass")) for each in slices)
    return max(plain, folded)


def _blocks(system: object, messages: object) -> Iterator[Mapping[str, Any]]:
    """Every content block of the prompt, those inside tool results included."""
    if system is not None:
        yield from _content(system, '"system"')
    if not isinstance(messages, list) or not messages:
        raise _Refusal('"messages" is not a list of messages')
    for message in messages:
        if not isinstance(message, dict):
            raise _Refusal("a message is not an object")
        yield from _content(message.get("content"), "the content of a message")


def _content(content: object, where: str) -> Iterator[Mapping[str, Any]]:
    """Depth was checked before, so this recursion is short."""
    if isinstance(content, str):
        return
    if not isinstance(content, list):
        raise _Refusal(f"{where} is neither a text nor a list of blocks")
    for block in content:
        if not isinstance(block, dict):
            raise _Refusal(f"{where} holds something that is not a block")
        yield block
        if block.get("type") in ("tool_result", "search_result") and block.get("content") is not None:
            yield from _content(block["content"], "the content of a result")


def _caching(body: object) -> str | None:
    """The dearest lifetime of the cache entries the request may write: None, `5m` or `1h`.

    Looks everywhere, so a tool's own argument of that name counts too, which only raises the hold.
    Refuses a request that is nested too deep for what comes after.
    """
    longest = None
    level: list[Any] = [body]
    for _ in range(MOST_DEPTH):
        if not level:
            return longest
        below: list[Any] = []
        for node in level:
            if isinstance(node, list):
                below.extend(child for child in node if isinstance(child, dict | list))
            elif isinstance(node, dict):
                below.extend(child for child in node.values() if isinstance(child, dict | list))
                control = node.get("cache_control")
                if control is not None:
                    known = isinstance(control, dict) and control.get("ttl") in (None, "5m")
                    longest = (longest or "5m") if known else "1h"
        level = below
    raise _Refusal(f"the request is nested more than {MOST_DEPTH} levels deep")


def _named(value: object) -> str:
    """A value of the request as a sentence can show it: short, quoted, nothing raw."""
    try:
        text = json.dumps(value)
    except (ValueError, TypeError, RecursionError):
        return "it holds"
    return text if len(text) <= 60 else text[:60] + "…"
