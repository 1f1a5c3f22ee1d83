"""How many tokens the prompt of a request of the OpenAI wire can be at most.

Bytes bound the tokens of text, as on the other wire. A picture has a constant of its own; what the vendor fetches,
keeps or unpacks is no shorter than the whole context window.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from runner.gate.fields import NoBound, named
from runner.gate.plain import dumps
from runner.gate.prompt import BASE_TOKENS, MESSAGE_TOKENS, MOST_DEPTH, Prompt, text_bound

IMAGE_TOKENS = 50_000
"""Of one picture in any model: 2,833 and eight tiles of 5,667 are the most. One cut into patches takes at most half."""

_KEPT = "the vendor would add what it keeps, which cannot be seen here; send all of it in the request"
_MESSAGE_KEYS = frozenset(
    {
        *("role", "content", "name", "tool_calls", "tool_call_id", "function_call", "refusal", "audio", "annotations"),
        *("reasoning", "reasoning_content", "reasoning_details", "cache_control"),
    }
)
_TEXT_PARTS = frozenset({"text", "refusal", "input_text", "output_text", "summary_text", "reasoning_text"})
_TEXT_ITEMS = frozenset(
    {
        *("function_call", "custom_tool_call", "local_shell_call", "shell_call", "apply_patch_call"),
        *("function_call_output", "custom_tool_call_output", "local_shell_call_output", "shell_call_output"),
        "apply_patch_call_output",
    }
)
_OPAQUE_ITEMS = frozenset(
    {
        *("compaction", "web_search_call", "file_search_call", "code_interpreter_call", "computer_call"),
        *("computer_call_output", "image_generation_call", "mcp_call", "mcp_list_tools"),
    }
)
"""Of what the vendor did or packed before: longer than it looks here."""


def of_chat(body: Mapping[str, Any], *, free: bool) -> Prompt:
    """The bound of a chat completion whose nesting was checked. Raises NoBound on what no prompt may hold."""
    messages = _list(body.get("messages"), '"messages"')
    return _measure(
        body, (part for message in messages for part in _message(message, free=free)), len(messages), free=free
    )


def of_response(body: Mapping[str, Any], *, free: bool) -> Prompt:
    """The same for a request of the responses endpoint."""
    given = body.get("input")
    if not isinstance(body.get("instructions"), str | None) and not free:
        raise NoBound('"instructions" is not a text')
    items = [] if isinstance(given, str) else _list(given, '"input"')
    return _measure(body, (part for item in items for part in _item(item, free=free)), len(items), free=free)


def nodes(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every object of the request, level by level. Raises NoBound on one nested too deep for what comes after."""
    level: list[Any] = [body]
    for _ in range(MOST_DEPTH):
        below: list[Any] = []
        for node in level:
            if isinstance(node, dict):
                yield node
            children = node.values() if isinstance(node, dict) else node
            below.extend(child for child in children if isinstance(child, dict | list))
        level = below
    if level:
        raise NoBound(f"the request is nested more than {MOST_DEPTH} levels deep")


def _measure(body: Mapping[str, Any], parts: Iterator[Mapping[str, Any]], count: int, *, free: bool) -> Prompt:
    """`parts`: what of the prompt is not plain text; `count`: its messages or items."""
    images, image_bytes, opaque = 0, 0, None
    for part in parts:
        kind, url = part.get("type"), part.get("image_url")
        url = url.get("url") if isinstance(url, dict) else url
        if kind in ("image_url", "input_image") and isinstance(url, str) and url.startswith("data:image/"):
            images += 1
            image_bytes += len(url) if url.isascii() else 0
        elif kind in ("input_audio", "audio") and not free:
            raise NoBound("sound in a prompt is refused: it has prices that are not counted here; send its text")
        else:
            opaque = opaque or f"a part of type {named(kind)}"
    tools = body.get("tools")
    count += len(tools) if isinstance(tools, list) else 0
    tokens = text_bound(dumps(body)) - image_bytes
    return Prompt(tokens=tokens + BASE_TOKENS + MESSAGE_TOKENS * count + IMAGE_TOKENS * images, opaque=opaque)


def _message(message: object, *, free: bool) -> Iterator[Mapping[str, Any]]:
    """The parts of a chat message that are not plain text."""
    if not isinstance(message, dict):
        raise NoBound("a message is not an object")
    strange = next((key for key in message if key not in _MESSAGE_KEYS), None)
    if strange is not None and not free:
        raise NoBound(f"a message has {named(strange)}, of which nobody here knows how long it is; leave it out")
    if message.get("audio") is not None:
        yield {"type": "audio"}
    if message.get("content") is not None:
        yield from _content(message["content"])


def _item(item: object, *, free: bool) -> Iterator[Mapping[str, Any]]:
    """The parts of an input item that are not plain text."""
    if not isinstance(item, dict):
        raise NoBound("an input item is not an object")
    kind = item.get("type", "message")
    if kind == "message":
        yield from _content(item.get("content"))
    elif kind == "reasoning":
        if not item.get("encrypted_content"):
            yield item  # the vendor looks up what it kept of it
    elif isinstance(kind, str) and kind in _TEXT_ITEMS:
        output = item.get("output")
        if isinstance(output, list) and kind != "shell_call_output":
            yield from _content(output)
    elif free or (isinstance(kind, str) and kind in _OPAQUE_ITEMS):
        yield item
    else:
        raise NoBound(f"an input item of type {named(kind)} is refused: {_KEPT}")


def _content(content: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(content, str):
        return
    for part in _list(content, "the content of a message"):
        if not isinstance(part, dict):
            raise NoBound("the content of a message holds something that is not a part")
        if not isinstance(kind := part.get("type"), str) or kind not in _TEXT_PARTS:
            yield part


def _list(value: object, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise NoBound(f"{where} is not a list")
    return value
