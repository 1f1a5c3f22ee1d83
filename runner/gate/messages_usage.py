"""What an Anthropic Messages answer says it used, or None when it does not say all of it.

None is not zero: the hold of the call then stands. Everything read here came from outside and may be of any shape.
Source: `usage` of the Messages API as the anthropic SDK 2.11 types it; `iterations` is the beta's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from runner.gate.meter import StreamMeter, Unclear, count, mapping
from runner.gate.usage import MOST_TOKENS, Part, Usage, same_model

MOST_PARTS = 1_000
"""Passes of one call that are told apart; an answer that lists more is not believed."""

_COUNTS = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
_TOTALLED = frozenset({"message", "fallback_message"})  # the totals hold these
_ITERATIONS = _TOTALLED | {"compaction", "advisor_message"}
_HOME_GEO = frozenset({None, "", "global", "not_available"})
_TIERS = frozenset({None, "standard", "priority", "batch"})  # none is dearer than the standard
_SEARCHES, _FETCHES = "web_search_requests", "web_fetch_requests"  # a fetch costs its tokens alone


def from_message(body: object, requested_model: str) -> Usage | None:
    """The usage of a whole (not streamed) answer; None if any part of it is missing or makes no sense."""
    if not isinstance(body, dict) or body.get("type", "message") != "message":
        return None
    try:
        return _read(body.get("usage"), body.get("model"), requested_model)
    except Unclear:
        return None


class StreamUsage(StreamMeter):
    """Of a Messages stream: input at its start, output with its deltas, all of it final once it stopped."""

    content = frozenset({"ping", "content_block_start", "content_block_delta", "content_block_stop"})
    started = False
    """`message_start` was seen and made sense."""
    stopped = False
    """`message_stop` was seen."""

    def __init__(self, requested_model: str) -> None:
        super().__init__(requested_model)
        self._model: object = None
        self._usage: dict[str, Any] = {}
        self._opening: Usage | None = None
        self._final = False

    def opening(self) -> Usage | None:
        """See `StreamMeter.opening`.

        None too where it says that more passes come after the one it tells of, or another model than the requested.
        """
        told = self._opening
        if told is None or self.broken or self.error_type is not None:
            return None
        return None if told.other_models or told.web_searches or len(told.parts) > 1 else told

    def _told(self) -> Usage | None:
        ended = self.started and self._final and self.stopped
        return _read(self._usage, self._model, self._requested) if ended else None

    def _take(self, name: str, data: bytes) -> None:
        try:
            event = json.loads(data)
        except (ValueError, RecursionError):
            if name == "error":
                self.error_type = "error"
                return
            if data == b"[DONE]" or self.stopped:
                return
            raise Unclear from None
        if not isinstance(event, dict):
            raise Unclear
        kind = event.get("type") or name
        if name and kind != name:
            raise Unclear
        if kind == "error":
            error = event.get("error")
            named = error.get("type") if isinstance(error, dict) else None
            self.error_type = named if isinstance(named, str) else "error"
        elif kind == "message_start":
            self._start(event.get("message"))
        elif kind == "message_delta":
            self._delta(event.get("usage"))
        elif kind == "message_stop":
            if not self.started:
                raise Unclear
            self.stopped = True

    def _start(self, message: object) -> None:
        if self.started or not isinstance(message, dict) or not isinstance(message.get("usage"), dict):
            raise Unclear
        self._model, self._usage = message.get("model"), dict(message["usage"])
        # The output of a start is a stub of 1 that must never be settled.
        self._usage["output_tokens"] = 0
        self._opening = _read(self._usage, self._model, self._requested)  # one that makes no sense is refused at once
        self.started = True

    def _delta(self, usage: object) -> None:
        """Counts of a delta are cumulative and may leave out what the start already said."""
        if not self.started or self.stopped:
            raise Unclear
        if usage is None:
            return
        if not isinstance(usage, dict):
            raise Unclear
        count(usage, "output_tokens", required=True)
        merged = self._usage | {key: value for key, value in usage.items() if value is not None}
        for key in _COUNTS:
            merged[key] = max(count(self._usage, key), count(usage, key))
        before, after = _server_tools(self._usage), _server_tools(usage)
        merged["server_tool_use"] = {key: max(before.get(key, 0), after.get(key, 0)) for key in before | after}
        _check_terms(usage)
        self._usage, self._final = merged, True


def _read(usage: object, model: object, requested: str) -> Usage:
    if not isinstance(usage, dict) or not isinstance(model, str) or not model:
        raise Unclear
    _check_terms(usage)
    totals, parts = _tokens(usage), []
    iterations = usage.get("iterations")
    if iterations is not None:
        if not isinstance(iterations, list) or len(iterations) > MOST_PARTS:
            raise Unclear
        told = [0] * len(totals)
        beside = [0] * len(totals)
        for each in iterations:
            kind, tokens, name = _iteration(each)
            sums = told if kind in _TOTALLED else beside
            sums[:] = [total + count for total, count in zip(sums, tokens, strict=True)]
            parts.append(Part(model=name, **_named(tokens)))
        # Nothing leaves out what the totals hold; they hold no compaction, and may hold no adviser.
        writes = max(0, sum(totals[3:]) - sum(told[3:]))  # the lifetimes are the parts' to tell
        totals = [*map(max, totals[:3], told[:3]), told[3], told[4] + writes]
        totals = [total + more for total, more in zip(totals, beside, strict=True)]
    if max(totals) > MOST_TOKENS:
        raise Unclear
    names = [model, *(part.model for part in parts if part.model)]
    return Usage(
        model=model,
        **_named(totals),
        parts=tuple(parts),
        other_models=tuple(dict.fromkeys(each for each in names if not same_model(each, requested))),
        us_only=usage.get("inference_geo") not in _HOME_GEO,
        fast=usage.get("speed") == "fast",
        web_searches=_server_tools(usage).get(_SEARCHES, 0),
    )


def _iteration(part: object) -> tuple[str, list[int], str]:
    """Kind, tokens by class and model of one entry of `iterations`."""
    if not isinstance(part, dict):
        raise Unclear
    kind, model = part.get("type"), part.get("model")
    if not isinstance(kind, str) or kind not in _ITERATIONS or not (model is None or isinstance(model, str)):
        raise Unclear
    if not model and kind not in ("message", "compaction"):
        raise Unclear  # what another model did costs what that one costs, and nobody says which it was
    return kind, _tokens(part), model or ""


def _tokens(usage: Mapping[str, Any]) -> list[int]:
    """Input, output, cache read, 5 minute write, 1 hour write."""
    plain = count(usage, "input_tokens", required=True)
    output = count(usage, "output_tokens", required=True)
    read = count(usage, "cache_read_input_tokens")
    writes = count(usage, "cache_creation_input_tokens")
    split = mapping(usage.get("cache_creation"))
    write_5m, write_1h = count(split, "ephemeral_5m_input_tokens"), count(split, "ephemeral_1h_input_tokens")
    return [plain, output, read, write_5m, write_1h + max(0, writes - write_5m - write_1h)]


def _named(tokens: list[int]) -> dict[str, int]:
    return dict(zip(("input", "output", "cache_read", "cache_write_5m", "cache_write_1h"), tokens, strict=True))


def _check_terms(usage: Mapping[str, Any]) -> None:
    """Speed, tier, region and tools of the vendor: one that is unheard of may cost anything."""
    speed, tier, geo = usage.get("speed"), usage.get("service_tier"), usage.get("inference_geo")
    if not all(term is None or isinstance(term, str) for term in (speed, tier, geo)):
        raise Unclear
    if speed not in (None, "standard", "fast") or tier not in _TIERS:
        raise Unclear
    if any(count > 0 and name not in (_SEARCHES, _FETCHES) for name, count in _server_tools(usage).items()):
        raise Unclear


def _server_tools(usage: Mapping[str, Any]) -> dict[str, int]:
    """How often the answer used each of the vendor's tools."""
    tools = mapping(usage.get("server_tool_use"))
    return {name: count(tools, name) for name in tools}
