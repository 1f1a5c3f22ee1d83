"""Reads an answer of the Messages API with care: whoever it comes from, it is checked as JSON, not believed.

The gate keeps for a later attempt what a worker could use, and nothing else; so both ask here. Loads little.
"""

from __future__ import annotations

import json
import math
from typing import Any

from runner.nesting import TOO_DEEP, is_too_deep


def message_in(body: bytes) -> dict[str, Any]:
    """A whole message, its `content` a list of blocks. Raises ValueError, whose words say what cannot be read."""
    try:
        message = json.loads(body, parse_constant=_no_number, parse_float=_finite)
        if b"\\ud" in body.lower():  # half a surrogate pair could be neither recorded nor sent back
            message = json.loads(json.dumps(message, ensure_ascii=False).encode("utf-8", "replace"))
    except ValueError:
        raise ValueError("it is not JSON") from None
    except RecursionError:
        raise ValueError(f"it is {TOO_DEEP}") from None
    if is_too_deep(message, openings=body.count(b"[") + body.count(b"{")):
        raise ValueError(f"it is {TOO_DEEP}")
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, list) or not all(map(_is_block, content)):
        raise ValueError("it has no content as the Messages API defines it")
    return message  # type: ignore[no-any-return]  # a dictionary, or it had no content


def _no_number(word: str) -> object:
    raise ValueError(word)


def _finite(word: str) -> float:
    value = float(word)
    if not math.isfinite(value):
        raise ValueError(word)
    return value


def _is_block(block: object) -> bool:
    if not isinstance(block, dict) or not isinstance(block.get("type"), str):
        return False
    if block["type"] == "text":
        return isinstance(block.get("text"), str)
    return block["type"] != "tool_use" or (isinstance(block.get("id"), str) and "input" in block and "name" in block)
