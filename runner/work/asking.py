"""One call of the Messages API through the SDK at the gate, its answer read with care.

An answer comes from an upstream nobody here controls: it is checked as JSON, not believed as the SDK's types.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from runner.gate.message import message_in
from runner.work.context import Retry, Unusable, refusal

if TYPE_CHECKING:
    from anthropic import Anthropic, AsyncAnthropic

LONGEST_S = 3_600.0
"""Of one call; the attempt's own time limit is what usually ends it."""
TO_BE_RECORDED = "x-afk-keep"
"""The header that names the step which is to record the answer: the gate keeps it until then, or until the job ends."""


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


def message_of(client: Anthropic, asked: dict[str, Any], *, step: str) -> dict[str, Any]:
    """A whole message with a list of content blocks, which the caller records as this step.

    Raises GateRefused when the gate or the upstream says no, Unusable for an answer that is no message.
    """
    anthropic = sys.modules["anthropic"]
    try:
        answer = client.messages.with_raw_response.create(**asked, extra_headers={TO_BE_RECORDED: quote(step, safe="")})
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
        message = message_in(body)
    except ValueError as error:
        raise Unusable(f"the model's answer cannot be read: {error}") from None
    return {"content": message["content"], "stop_reason": message.get("stop_reason")}
