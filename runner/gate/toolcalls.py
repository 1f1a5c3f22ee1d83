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


def in_message(answer: object) -> int:
    """Tool calls in a whole answer of the Messages, the chat or the responses API; of any shape, never raises."""
    if not isinstance(answer, dict):
        return 0
    blocks = [block for block in _dicts(answer.get("content")) if block.get("type") == "tool_use"]
    items = [item for item in _dicts(answer.get("output")) if item.get("type") in _ITEMS]
    told = [choice.get("message") for choice in _dicts(answer.get("choices"))]
    calls = [call for message in told if isinstance(message, dict) for call in _dicts(message.get("tool_calls"))]
    return len(blocks) + len(items) + len(calls)


class StreamedCalls:
    """The same in a streamed answer."""

    def __init__(self) -> None:
        self._events = Events(content=_CONTENT)
        self._broken = False

    def feed(self, chunk: bytes) -> int:
        """Tool calls that begin in the next bytes. Never raises."""
        if self._broken:
            return 0
        try:
            return sum(map(_begun, (data for _, data in self._events.feed(chunk))))
        except TooLong:
            self._broken = True
            return 0


def _begun(data: bytes) -> int:
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
    return sum(1 for call in _deltas(event) if call.get("id"))  # the pieces that follow have none


def _deltas(event: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for choice in _dicts(event.get("choices")):
        delta = choice.get("delta")
        if isinstance(delta, dict):
            yield from _dicts(delta.get("tool_calls"))


def _dicts(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
