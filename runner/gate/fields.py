"""Which fields of a Messages request are served. Whatever else it holds is refused by name, with the way out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_KEYS = frozenset(
    {
        *("model", "messages", "system", "max_tokens", "stream", "stop_sequences", "metadata", "diagnostics"),
        *("temperature", "top_k", "top_p", "thinking", "output_config", "output_format", "tools", "tool_choice"),
        *("cache_control", "context_management", "inference_geo", "service_tier", "speed", "fallbacks"),
    }
)
_REFUSED = {
    "mcp_servers": "nobody limits what their tools do on the vendor's side; let the client connect to them itself",
    "container": "the vendor bills it by the hour; run the work on this side",
    "thread": 'nobody here knows how long a conversation is that the vendor keeps; send all of it in "messages"',
    "compaction": "nobody knows how long the vendor's summary gets; ask for one in a request of its own",
    "requests": "batches are billed later and out of sight; send each request by itself",
}


class NoBound(ValueError):
    """Nobody can say what the request may cost; its message is the reason."""


def check_fields(body: Mapping[str, Any]) -> None:
    """Raises NoBound on a field that is not served. What tools, prompt and output may be is looked at elsewhere."""
    for key, reason in _REFUSED.items():
        if body.get(key) not in (None, []):
            raise NoBound(f'"{key}" is refused: {reason}')
    for key, value in body.items():
        if key not in _KEYS and key not in _REFUSED:
            raise NoBound(f"the request has {named(key)}, of which nobody here knows what it costs; leave it out")
        if key in ("model", "inference_geo") and not (isinstance(value, str) or (value is None and key != "model")):
            raise NoBound(f'"{key}" is not a text')
    if not body.get("model"):
        raise NoBound('the request names no "model"')
    if not isinstance(body.get("stream", False), bool | None):
        raise NoBound('"stream" is neither true nor false')
    if body.get("speed") not in (None, "standard", "fast"):
        raise NoBound(f'"speed" {named(body["speed"])} is refused: only "standard" and "fast" have a price')
    if body.get("service_tier") not in (None, "auto", "standard_only"):
        raise NoBound(
            f'"service_tier" {named(body["service_tier"])} is refused: only the standard tier has a price here; '
            'leave it out, or write "standard_only"'
        )
    _check_edits(body.get("context_management"))


def _check_edits(management: object) -> None:
    """Clearing old turns only shortens the prompt; compacting them is a second answer, of a length nobody limits."""
    if management is None:
        return
    edits = management.get("edits", []) if isinstance(management, dict) else None
    if not isinstance(management, dict) or not isinstance(edits, list) or set(management) - {"edits"}:
        raise NoBound('"context_management" is not an object with a list of edits')
    for edit in edits:
        kind = edit.get("type") if isinstance(edit, dict) else None
        if not isinstance(kind, str) or not kind.startswith("clear_"):
            raise NoBound(
                f'the "context_management" edit {named(kind)} is refused: nobody knows how long its summary gets; '
                "clearing edits are served, and the client may compact by itself"
            )


def named(value: object) -> str:
    """A value of the request as a sentence can show it: short, quoted, nothing raw."""
    try:
        text = json.dumps(value)
    except (ValueError, TypeError, RecursionError):
        return "it holds"
    return text if len(text) <= 60 else text[:60] + "…"
