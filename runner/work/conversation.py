"""What the recorded steps of a prompt task hold: its turns, and how its answers were judged.

The worker writes them, the runner and the screens read them: nothing here but names and JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_TURN = re.compile(r"(?:again ([0-9]+): )?turn ([0-9]+)")
_TOOL = re.compile(r"(?:again [0-9]+: )?turn [0-9]+ tool [0-9]+")
_VERDICT = re.compile(r"(?:again ([0-9]+): )?verdict ([0-9]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was found of one criterion."""

    criterion: str
    met: bool
    reason: str


def series(number: int) -> str:
    """What the names of a conversation begin with: a task that was changed begins a new one."""
    return "" if number == 1 else f"again {number}: "


def text_so_far(steps: Mapping[str, str]) -> str | None:
    """The last text a model gave, in a job that may not have ended; None: it gave none."""
    for name in _ordered(_TURN, steps, newest_first=True):
        turn = _parsed(steps[name])
        content = turn.get("content") if isinstance(turn, dict) else None
        texts = [
            block["text"]
            for block in (content if isinstance(content, list) else [])
            if isinstance(block, dict) and isinstance(block.get("text"), str)
        ]
        if any(text.strip() for text in texts):
            return "".join(texts)
    return None


def verdicts(steps: Mapping[str, str]) -> tuple[Verdict, ...]:
    """How the newest answer was judged, one verdict a criterion; empty: none was."""
    for name in _ordered(_VERDICT, steps, newest_first=True):
        found = _parsed(steps[name])
        if isinstance(found, list):
            return tuple(
                Verdict(criterion=str(one["criterion"]), met=one["met"] is True, reason=str(one["reason"]))
                for one in found
                if isinstance(one, dict) and {"criterion", "met", "reason"} <= one.keys()
            )
    return ()


def told(name: str, result: str) -> str:
    """A recorded step in words: what was said, what was asked for, what came of it."""
    value = _parsed(result)
    if _TURN.fullmatch(name) and isinstance(value, dict) and isinstance(value.get("content"), list):
        return " ".join(_block_told(block) for block in value["content"] if isinstance(block, dict)) or "nothing"
    if _TOOL.fullmatch(name) and isinstance(value, dict):
        return f"{'REFUSED: ' if value.get('is_error') else ''}{value.get('content')}"
    if _VERDICT.fullmatch(name):
        judged = verdicts({name: result})
        return f"{sum(verdict.met for verdict in judged)} of {len(judged)} criteria met"
    return result


def _block_told(block: Mapping[str, Any]) -> str:
    if block.get("type") == "tool_use":
        return f"asks for {block.get('name')} {json.dumps(block.get('input'), ensure_ascii=False)}"
    return str(block.get("text") or f"[{block.get('type')}]")


def _ordered(kind: re.Pattern[str], steps: Mapping[str, str], *, newest_first: bool) -> list[str]:
    found = [(int(match[1] or 1), int(match[2]), name) for name in steps if (match := kind.fullmatch(name))]
    return [name for *_, name in sorted(found, reverse=newest_first)]


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
