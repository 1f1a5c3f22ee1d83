"""What a vendor of the OpenAI wire answers: chat completions and responses, whole and as events.

Shapes as the openai SDK 3.51 types them; the counts of a reply are given in the words of the other wire.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

CHAT, RESPONSES = "/chat/completions", "/responses"


def chat(text: str, model: str, usage: Mapping[str, Any] | None) -> dict[str, Any]:
    """A whole chat completion."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    built = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model, "choices": [choice]}
    return built if usage is None else {**built, "usage": chat_usage(usage)}


def chat_events(text: str, model: str, usage: Mapping[str, Any] | None, *, told: bool) -> list[bytes]:
    """The same as chunks: role, one a word, the finish, the usage where it is `told`, the end."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model}
    silent = {"usage": None} if told else {}

    def chunk(delta: Mapping[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return data({**head, "choices": [choice], **silent})

    parts = [chunk({"role": "assistant", "content": ""}), *(chunk({"content": word}) for word in _words(text))]
    parts.append(chunk({}, "stop"))
    if told and usage is not None:
        parts.append(data({**head, "choices": [], "usage": chat_usage(usage)}))
    return [*parts, b"data: [DONE]\n\n"]


def response(text: str, model: str, usage: Mapping[str, Any] | None, *, status: str = "completed") -> dict[str, Any]:
    """A whole response."""
    content = [{"type": "output_text", "text": text, "annotations": []}]
    item = {"type": "message", "id": "msg_1", "status": status, "role": "assistant", "content": content}
    built = {"id": "resp_1", "object": "response", "created_at": 1, "status": status, "model": model, "output": [item]}
    shape = {"error": None, "parallel_tool_calls": True, "tool_choice": "auto", "tools": []}
    return {**built, **shape, "usage": None if usage is None else response_usage(usage)}


def response_events(text: str, model: str, usage: Mapping[str, Any] | None) -> list[bytes]:
    """The same as events: created, the item, one delta a word, the item again, completed."""
    whole = response(text, model, usage)
    opening = {**whole, "status": "in_progress", "output": [], "usage": None}
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    parts = [
        named("response.created", response=opening),
        named("response.output_item.added", output_index=0, item={**whole["output"][0], "content": []}),
        named("response.content_part.added", **place, part={"type": "output_text", "text": "", "annotations": []}),
        *(named("response.output_text.delta", **place, delta=word, logprobs=[]) for word in _words(text)),
        named("response.output_text.done", **place, text=text, logprobs=[]),
        named("response.output_item.done", output_index=0, item=whole["output"][0]),
        named("response.completed", response=whole),
    ]
    return [part.replace(b'"type":', b'"sequence_number":%d,"type":' % at, 1) for at, part in enumerate(parts)]


def chat_usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    """Counts in a chat completion's words; what is in them already stays as it is."""
    counts, rest = _counts(usage)
    return {"prompt_tokens": counts[0], "completion_tokens": counts[1], **_total(counts), **rest}


def response_usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    """Counts in a response's words."""
    counts, rest = _counts(usage)
    details = {
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }
    return {"input_tokens": counts[0], "output_tokens": counts[1], **_total(counts), **details, **rest}


def data(value: object) -> bytes:
    """An event without a name."""
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"


def named(kind: str, **fields: object) -> bytes:
    """An event with its name, which it repeats as its type."""
    return f"event: {kind}\n".encode() + data({"type": kind, **fields})


def _counts(usage: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    rest = dict(usage)
    return [rest.pop("input_tokens", None), rest.pop("output_tokens", None)], rest


def _total(counts: list[Any]) -> dict[str, Any]:
    return {"total_tokens": sum(counts)} if all(type(count) is int for count in counts) else {}


def _words(text: str) -> list[str]:
    return [word if place == 0 else f" {word}" for place, word in enumerate(text.split(" "))]
