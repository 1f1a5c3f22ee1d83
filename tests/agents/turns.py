"""A model's turns as the two vendors put them on the wire, each a whole stream: words, or a call of a tool."""

from __future__ import annotations

import json
from typing import Any

from tests.upstream import FakeAnthropic, Received, Reply

_STREAM = {"content-type": "text/event-stream"}


class Vendor(FakeAnthropic):
    """Answers every POST with the next turn of its script, whatever the wire, and counts every request."""

    def _reply(self, received: Received) -> Reply:
        if received.method != "POST":
            return Reply.error(404, "not_found_error", "nothing here")
        return self._script.popleft() if self._script else self.default


def _event(name: str, **fields: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **fields})}\n\n".encode()


def _messages(model: str, block: dict[str, Any], delta: dict[str, str], stop: str, tokens: int) -> Reply:
    opening = {
        "id": "msg_01Turn",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 1},
    }
    body = b"".join(
        [
            _event("message_start", message=opening),
            _event("content_block_start", index=0, content_block=block),
            _event("content_block_delta", index=0, delta=delta),
            _event("content_block_stop", index=0),
            _event(
                "message_delta", delta={"stop_reason": stop, "stop_sequence": None}, usage={"output_tokens": tokens}
            ),
            _event("message_stop"),
        ]
    )
    return Reply(body=body, headers=_STREAM)


def says(text: str, *, model: str, tokens: int = 20) -> Reply:
    """A last turn on the Messages wire."""
    return _messages(
        model, {"type": "text", "text": ""}, {"type": "text_delta", "text": text}, stop="end_turn", tokens=tokens
    )


def calls(tool: str, *, model: str, tokens: int = 20, **given: Any) -> Reply:
    """A turn on the Messages wire that calls a tool."""
    block = {"type": "tool_use", "id": f"toolu_{tool}", "name": tool, "input": {}}
    delta = {"type": "input_json_delta", "partial_json": json.dumps(given)}
    return _messages(model, block, delta, stop="tool_use", tokens=tokens)


def _responses(model: str, item: dict[str, Any], tokens: int) -> Reply:
    usage = {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 10 + tokens,
    }
    response = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": "in_progress",
        "model": model,
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }
    body = b"".join(
        [
            _event("response.created", sequence_number=0, response=response),
            _event("response.output_item.added", sequence_number=1, output_index=0, item=item),
            _event("response.output_item.done", sequence_number=2, output_index=0, item=item),
            _event(
                "response.completed",
                sequence_number=3,
                response={**response, "status": "completed", "output": [item], "usage": usage},
            ),
        ]
    )
    return Reply(body=body, headers=_STREAM)


def responds(text: str, *, model: str, tokens: int = 20) -> Reply:
    """A last turn on the responses wire."""
    content = [{"type": "output_text", "text": text, "annotations": []}]
    item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content}
    return _responses(model, item, tokens)


def invokes(tool: str, *, model: str, tokens: int = 20, **given: Any) -> Reply:
    """A turn on the responses wire that calls a function."""
    item = {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "call_1",
        "name": tool,
        "arguments": json.dumps(given),
        "status": "completed",
    }
    return _responses(model, item, tokens)


def chats(text: str, *, model: str, tokens: int = 20) -> Reply:
    """A last turn on the chat wire, with the usage that the gate asks for."""

    def chunk(choices: list[Any], **more: object) -> bytes:
        head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model}
        return f"data: {json.dumps({**head, 'choices': choices, **more})}\n\n".encode()

    body = b"".join(
        [
            chunk([{"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}]),
            chunk([{"index": 0, "delta": {}, "finish_reason": "stop"}]),
            chunk([], usage={"prompt_tokens": 10, "completion_tokens": tokens, "total_tokens": 10 + tokens}),
            b"data: [DONE]\n\n",
        ]
    )
    return Reply(body=body, headers=_STREAM)
