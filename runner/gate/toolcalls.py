"""Counts the tools a model asks for, in the answers that pass: the limit on them holds for any agent on any wire.

What an agent then does is not seen here. So the answer that passes the limit still reaches it, and its next call is
refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from runner.gate.sse import Events, TooLong

_ITEMS = frozenset({"function_call", "custom_tool_call", "local_shell_call", "shell_call", "apply_patch_call"})
"""Output items of the responses API that the client is to act on."""
_CONTENT = frozenset({"content_block_delta", "response.output_text.delta", "response.function_call_arguments.delta"})
_MARKS = (b"tool_use", b"tool_calls", b"_call")
MOST_CHARS = 200
MOST_PLACES = 10_000
"""Tool calls of one answer that are told apart; any more count with each of their pieces."""


def in_message(answer: object) -> int:
    """Tool calls in a whole answer of the Messages, the chat or the responses API; of any shape, never raises."""
    if not isinstance(answer, dict):
        return 0
    blocks = [block for block in _dicts(answer.get("content")) if block.get("type") == "tool_use"]
    items = [item for item in _dicts(answer.get("output")) if item.get("type") in _ITEMS]
    told = [choice.get("message") for choice in _dicts(answer.get("choices"))]
    calls = [call for message in told if isinstance(message, dict) for call in _dicts(message.get("tool_calls"))]
    old = sum(1 for message in told if isinstance(message, dict) and _is_named(message.get("function_call")))
    return len(blocks) + len(items) + len(calls) + old


class StreamedCalls:
    """The same in a streamed answer."""

    def __init__(self) -> None:
        self._events = Events(content=_CONTENT)
        self._broken = False
        self._begun: dict[tuple[object, object], object] = {}
        """The last id of each call of a chat, by its choice and its place there; None: it has none so far."""

    def feed(self, chunk: bytes) -> int:
        """Tool calls that begin in the next bytes. Never raises."""
        if self._broken:
            return 0
        try:
            return sum(self._count(data) for _, data in self._events.feed(chunk))
        except TooLong:
            self._broken = True
            return 0

    def _count(self, data: bytes) -> int:
        if not any(mark in data for mark in _MARKS):
            return 0
        try:
            event = json.loads(data)
        except (ValueError, RecursionError):
            return 0
        if not isinstance(event, dict):
            return 0
        block, item = event.get("content_block"), event.get("item")
        if event.get("type") == "content_block_start":
            return int(isinstance(block, dict) and block.get("type") == "tool_use")
        if event.get("type") == "response.output_item.added":
            return int(isinstance(item, dict) and item.get("type") in _ITEMS)
        return sum(self._begins(choice, call) for choice, call in _deltas(event))

    def _begins(self, choice: object, call: dict[str, Any]) -> bool:
        """Whether a piece of a chat's tool call is the first of its call.

        The vendor that wrote the wire tells a call's place in every piece and its id in the first. Others leave out
        the one or the other, or repeat both: a new place, or a new id at a place, is a new call, and so is a name
        where there is neither. Not told apart: whole calls in a row that all name the same place and no id count as
        one, for just so a vendor may repeat the name in each piece of one call.
        """
        id, place = _plain(call.get("id")), _plain(call.get("index"))
        if id is None and place is None:
            return _is_named(call.get("function"))
        at = (choice, place)
        new = at not in self._begun or (id is not None and self._begun[at] not in (None, id))
        if len(self._begun) < MOST_PLACES or at in self._begun:
            self._begun[at] = id if id is not None else self._begun.get(at)
        return new


def _deltas(event: dict[str, Any]) -> Iterator[tuple[object, dict[str, Any]]]:
    """The choice and the piece, for each piece of a tool call that an event of a chat brings."""
    for choice in _dicts(event.get("choices")):
        delta = choice.get("delta")
        if isinstance(delta, dict):
            place = _plain(choice.get("index"))
            yield from ((place, call) for call in _dicts(delta.get("tool_calls")))
            if isinstance(old := delta.get("function_call"), dict):
                yield place, {"function": old}


def _plain(value: object) -> str | int | None:
    """An id or a place, no longer than a sane one; None for what can be neither."""
    if isinstance(value, str):
        return value[:MOST_CHARS] or None
    return value if isinstance(value, int) and abs(value) < MOST_PLACES else None


def _is_named(function: object) -> bool:
    return isinstance(function, dict) and bool(function.get("name"))


def _dicts(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
