"""What an answer of the OpenAI wire says it used, or None when it does not say all of it.

None is not zero: the hold of the call then stands. Everything read here came from outside and may be of any shape.
Source: `CompletionUsage` and `ResponseUsage` as the openai SDK 3.51 types them. Where other vendors of this wire count
differently, the reading that costs more is taken.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from runner.gate.meter import StreamMeter, Unclear, count, mapping
from runner.gate.usage import Usage

_STANDARD_TIERS = frozenset({None, "auto", "default", "standard", "on_demand", "flex", "scale"})
"""Tiers that cost no more than the price list says."""
_OWN_ITEMS = frozenset(
    {
        *("message", "reasoning", "function_call", "custom_tool_call", "local_shell_call", "shell_call"),
        *("apply_patch_call", "output_text"),
    }
)
"""What an answer may hold without the vendor having done work that tokens alone do not pay for."""
_ENDS = frozenset({"response.completed", "response.incomplete"})
_RESPONSE_EVENTS = frozenset({*_ENDS, "response.failed", "response.cancelled", "response.error", "error"})


def from_chat(body: object, requested_model: str) -> Usage | None:
    """The usage of a whole chat completion; None if any part of it is missing or makes no sense."""
    if not isinstance(body, dict) or body.get("error") is not None or not isinstance(body.get("choices"), list):
        return None
    try:
        return _of_chat(body, requested_model)
    except Unclear:
        return None


def from_response(body: object, requested_model: str) -> Usage | None:
    """The usage of a whole response that ended, be it cut short; None for one that failed or says too little."""
    if not isinstance(body, dict) or body.get("status") not in ("completed", "incomplete"):
        return None
    try:
        return _of_response(body, requested_model)
    except Unclear:
        return None


class _Stream(StreamMeter):
    """Of either endpoint of this wire, which tells what it read only at its end."""

    def __init__(self, requested_model: str) -> None:
        super().__init__(requested_model)
        self._used: Usage | None = None
        self._ended = False

    def _told(self) -> Usage | None:
        return self._used if self._ended else None


class ChatStream(_Stream):
    """Of a chat completion: the usage comes in a chunk without choices after the last one, then `[DONE]`.

    Some vendors repeat a running count in every chunk, so that no count is final before the answer's end.
    """

    _finished = False

    def _take(self, name: str, data: bytes) -> None:
        if data.strip() == b"[DONE]":
            self._ended = True
            return
        chunk = _object(data)
        error = chunk.get("error")
        if error is not None or name == "error":
            self.error_type = _error_type(error)
            return
        choices = chunk.get("choices")
        if not isinstance(choices, list) or self._ended:
            raise Unclear
        self._finished |= any(isinstance(each, dict) and each.get("finish_reason") is not None for each in choices)
        if chunk.get("usage") is not None:
            used = _of_chat(chunk, self._requested)
            if self._used is not None and (used.prompt < self._used.prompt or used.output < self._used.output):
                raise Unclear
            self._used = used
            self._ended |= self._finished and not choices


class ResponseStream(_Stream):
    """Of a response: the whole of it comes once more in its last event, with its usage."""

    def _take(self, name: str, data: bytes) -> None:
        if data.strip() == b"[DONE]" or (name and name not in _RESPONSE_EVENTS):
            return
        event = _object(data)
        kind = event.get("type") or name
        if name and kind != name:
            raise Unclear
        if kind in _ENDS:
            response = event.get("response")
            if self._ended or not isinstance(response, dict):
                raise Unclear
            self._used, self._ended = _of_response(response, self._requested), True
        elif kind in _RESPONSE_EVENTS:
            response = event.get("response")
            inner = response.get("error") if isinstance(response, dict) else event.get("error")
            self.error_type = _error_type(inner if inner is not None else event)


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise Unclear from None
    if not isinstance(value, dict):
        raise Unclear
    return value


def _error_type(error: object) -> str:
    """The vendor's word for what went wrong; its code says more than its type."""
    words = (error.get("code"), error.get("type")) if isinstance(error, dict) else ()
    said = [str(word) for word in words if isinstance(word, str | int) and word not in ("", "error")]
    return said[0] if said else "error"


def _of_chat(body: Mapping[str, Any], requested: str) -> Usage:
    usage = mapping(body.get("usage"), required=True)
    return _usage(
        body,
        requested,
        prompt=count(usage, "prompt_tokens", required=True),
        output=count(usage, "completion_tokens", required=True),
        total=count(usage, "total_tokens"),
        read=mapping(usage.get("prompt_tokens_details")),
        written=mapping(usage.get("completion_tokens_details")),
    )


def _of_response(body: Mapping[str, Any], requested: str) -> Usage:
    usage = mapping(body.get("usage"), required=True)
    items = body.get("output")
    for item in items if isinstance(items, list) else []:
        if not isinstance(item, dict) or item.get("type") not in _OWN_ITEMS:
            raise Unclear  # the vendor worked with a tool of its own, which costs what no count here says
    return _usage(
        body,
        requested,
        prompt=count(usage, "input_tokens", required=True),
        output=count(usage, "output_tokens", required=True),
        total=count(usage, "total_tokens"),
        read=mapping(usage.get("input_tokens_details")),
        written=mapping(usage.get("output_tokens_details")),
    )


def _usage(
    body: Mapping[str, Any],
    requested: str,
    *,
    prompt: int,
    output: int,
    total: int,
    read: Mapping[str, Any],
    written: Mapping[str, Any],
) -> Usage:
    model, tier = body.get("model"), body.get("service_tier")
    if not isinstance(model, str) or not model or not (tier is None or isinstance(tier, str)):
        raise Unclear
    if tier not in _STANDARD_TIERS or count(read, "audio_tokens") or count(written, "audio_tokens"):
        raise Unclear
    cached = count(read, "cached_tokens")
    lasting = count(mapping(read.get("cache_write_tokens_details")), "ttl_12h_tokens")
    writes = max(count(read, "cache_write_tokens"), lasting)
    if cached + writes > prompt:
        raise Unclear
    return Usage(
        model=model,
        input=prompt - cached - writes,
        # Some vendors leave reasoning out of the count of the answer and have it in the total alone.
        output=max(output, total - prompt),
        cache_read=cached,
        cache_write_5m=writes - lasting,
        cache_write_1h=lasting,
        other_models=() if model == requested else (model,),
    )
