"""One call of the Messages API through the SDK at the gate, its answer read with care.

An answer comes from an upstream nobody here controls: it is checked as JSON, not believed as the SDK's types.
"""

from __future__ import annotations

import json
import math
import sys
from typing import TYPE_CHECKING, Any

from runner.work.context import Retry, Unusable, refusal

if TYPE_CHECKING:
    from anthropic import Anthropic, AsyncAnthropic

LONGEST_S = 3_600.0
"""Of one call; the attempt's own time limit is what usually ends it."""
TO_BE_RECORDED = {"x-afk-keep": "1"}
"""Has the gate keep the answer until it is recorded as a step, or of no use."""


def client_of(gate: str, token: str) -> Anthropic:
    """A client that knows the gate alone: no retries of its own, no proxy, no login found on disk."""
    import anthropic  # noqa: PLC0415 - a second and 75 MB, for those who ask

    return anthropic.Anthropic(
        base_url=gate,
        api_key=token,
        max_retries=0,
        timeout=anthropic.Timeout(LONGEST_S, connect=10.0),
        http_client=anthropic.DefaultHttpxClient(trust_env=False, follow_redirects=False),
    )


def async_client_of(gate: str, token: str) -> AsyncAnthropic:
    """The same for who awaits."""
    import anthropic  # noqa: PLC0415 - likewise

    return anthropic.AsyncAnthropic(
        base_url=gate,
        api_key=token,
        max_retries=0,
        timeout=anthropic.Timeout(LONGEST_S, connect=10.0),
        http_client=anthropic.DefaultAsyncHttpxClient(trust_env=False, follow_redirects=False),
    )


def message_of(client: Anthropic, asked: dict[str, Any]) -> dict[str, Any]:
    """A whole message with a list of content blocks, which the caller records as a step.

    Raises GateRefused when the gate or the upstream says no, Unusable for an answer that is no message.
    """
    anthropic = sys.modules["anthropic"]
    try:
        answer = client.messages.with_raw_response.create(**asked, extra_headers=TO_BE_RECORDED)
    except anthropic.APIStatusError as error:
        raise refusal(error.status_code, error.response.content) from None
    except anthropic.APIConnectionError as error:
        why = error.__cause__ or error
        raise Retry(f"the gate could not be reached: {str(why) or type(why).__name__}") from None
    return _checked(answer.http_response.content)


def text_of(content: list[dict[str, Any]]) -> str:
    """The text blocks of a message."""
    return "".join(block["text"] for block in content if block["type"] == "text")


def _checked(body: bytes) -> dict[str, Any]:
    try:
        message = json.loads(body, parse_constant=_no_number, parse_float=_finite)
        if b"\\ud" in body.lower():  # half a surrogate pair could be neither recorded nor sent back
            message = json.loads(json.dumps(message, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        raise Unusable("the model's answer cannot be read: it is not JSON") from None
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, list) or not all(map(_is_block, content)):
        raise Unusable("the model's answer cannot be read: it has no content as the Messages API defines it")
    return {"content": content, "stop_reason": message.get("stop_reason")}


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
