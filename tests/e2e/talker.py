"""A vendor whose answers depend on how far the conversation is, so that a crash in the middle changes none of them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from typing import Any

from tests.upstream import FakeAnthropic, Received, Reply

Content = list[dict[str, Any]]
Plan = Callable[[dict[str, Any]], Content | Reply]
"""A request's body to the content of its answer, or to a reply of another kind."""


def text(words: str) -> Content:
    """An answer."""
    return [{"type": "text", "text": words}]


def tool(name: str, place: int = 1, /, **given: Any) -> dict[str, Any]:
    """A call of a tool; `place` tells those of one answer apart."""
    return {"type": "tool_use", "id": f"toolu_{name}_{place}", "name": name, "input": given}


def turns(body: dict[str, Any]) -> int:
    """Answers the conversation holds already."""
    return sum(1 for message in body["messages"] if message["role"] == "assistant")


def results(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Results of tools in the newest turn."""
    content = body["messages"][-1]["content"]
    return [block for block in content if isinstance(block, dict) and block["type"] == "tool_result"]


def is_judge(body: dict[str, Any]) -> bool:
    """Whether it asks for verdicts."""
    return "output_config" in body


class Talker(FakeAnthropic):
    """Answers by its plan, which may be another one for the next conversation."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan
        self.held_turn: int | None = None
        """The first request of a conversation of so many answers is kept back until `go`."""
        self.go = threading.Event()

    def _reply(self, received: Received) -> Reply:
        if received.method != "POST" or not received.path.startswith("/v1/messages"):
            return super()._reply(received)
        body = received.body
        content = self.plan(body)
        if isinstance(content, Reply):
            return content
        asks = any(block["type"] == "tool_use" for block in content)
        whole = {
            "id": "msg_01Talk",
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "content": content,
            "stop_reason": "tool_use" if asks else "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 10, "output_tokens": 5},
        }
        hold = self.go if self.held_turn == turns(body) else None
        self.held_turn = None if hold else self.held_turn
        return Reply(body=json.dumps(whole).encode(), hold=hold)


def script(*answers: Content) -> Plan:
    """A plan: the answers one after the other, the last one again and again."""
    return lambda body: answers[min(turns(body), len(answers) - 1)]


def verdicts(*met: bool, reasons: Sequence[str] = ()) -> Content:
    """What a judge answers."""
    given = [
        {"number": number, "met": one, "reason": reasons[number - 1] if reasons else "so it is"}
        for number, one in enumerate(met, start=1)
    ]
    return text(json.dumps({"verdicts": given}))
