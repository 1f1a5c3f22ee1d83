"""Which tools a Messages request may bring, and what they can cost beside the bytes of their definitions.

Three kinds: the client's own, the vendor's that run in the client, and the vendor's that run at the vendor, which are
off unless the task allows them with a limit of uses. Source: spend.md § 3; types as the anthropic SDK 2.11 has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runner.gate.fields import NoBound, named

TOOL_TOKENS = 64  # what the vendor writes around a definition
DEFINED_TOKENS = 1_500
"""Of a tool whose definition the vendor keeps."""

_AT_CLIENT = {
    **dict.fromkeys(("bash_20241022", "bash_20250124", "memory_20250818"), 1),
    **dict.fromkeys(("text_editor_20241022", "text_editor_20250124"), 1),
    **dict.fromkeys(("text_editor_20250429", "text_editor_20250728"), 1),
    **dict.fromkeys(("computer_20241022", "computer_20250124", "computer_20251124"), 1),
    "computer_toolset_20260801": 17,
    "browser_toolset_20260801": 31,
}
"""How many tools each type brings."""
_AT_VENDOR = {
    **dict.fromkeys(("web_search_20250305", "web_search_20260209", "web_search_20260318"), "web_search"),
    **dict.fromkeys(("web_fetch_20250910", "web_fetch_20260209"), "web_fetch"),
    **dict.fromkeys(("web_fetch_20260309", "web_fetch_20260318"), "web_fetch"),
}
_CALL_FROM_CODE = "_2026"  # types from then on let the vendor's own code call them, unless told not to
_REFUSED = {
    "advisor_": "another model answers, as often and as long as it likes; ask that model in a request of its own",
    "code_execution_": "the vendor bills its container by the hour; give the model a tool that runs on this side",
    "tool_search_tool": 'nobody limits how often it searches; send the tools it would find in "tools"',
    "mcp_toolset": "nobody limits what MCP tools do on the vendor's side; let the client connect to the server itself",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What the tools of a request add to it."""

    tokens: int
    """At most, beside the bytes of their definitions."""
    uses: int
    """How often tools at the vendor may run; each run is one more pass over a prompt as long as the window."""
    searches: int
    """Those of `uses` that are billed by the piece as well."""
    sent: list[Any] | None
    """The tools as they may be sent, their uses limited; None: as they came."""


def read_tools(tools: object, allowed: Mapping[str, int]) -> Tools:
    """What the request's `tools` add. `allowed`: uses of each tool at the vendor. Raises NoBound."""
    if tools is None:
        return Tools(tokens=0, uses=0, searches=0, sent=None)
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise NoBound('"tools" is not a list of objects')
    tokens, uses, sent = 0, dict[str, int](), list[Any]()
    for tool in tools:
        kind = tool.get("type")
        if kind is None or kind == "custom":
            tokens += TOOL_TOKENS
        elif isinstance(kind, str) and kind in _AT_CLIENT:
            tokens += DEFINED_TOKENS * _AT_CLIENT[kind]
        elif isinstance(kind, str) and kind in _AT_VENDOR:
            tokens += DEFINED_TOKENS
            name = _AT_VENDOR[kind]
            if name in uses:
                raise NoBound(f'"tools" holds {named(name)} twice; leave one of the two out')
            sent.append(_limited(tool, kind, name, allowed.get(name, 0)))
            uses[name] = sent[-1]["max_uses"]
            continue
        else:
            raise NoBound(f"the tool type {named(kind)} is refused: {_reason(kind)}")
        sent.append(tool)
    return Tools(
        tokens=tokens,
        uses=sum(uses.values()),
        searches=uses.get("web_search", 0),
        sent=None if sent == tools else sent,
    )


def _limited(tool: Mapping[str, Any], kind: str, name: str, most: int) -> dict[str, Any]:
    """The tool with no more uses than the task allows, callable by the model alone."""
    if most < 1:
        raise NoBound(
            f"the tool {named(name)} runs on the vendor's side, which this task does not allow; "
            f"allow it a number of uses in each call with {name} = 3 under [tasks.NAME.server_tools]"
        )
    asked = tool.get("max_uses")
    if asked is not None and (type(asked) is not int or asked < 1):
        raise NoBound(f'"max_uses" {named(asked)} of the tool {named(name)} is not a number of uses')
    limited = {**tool, "max_uses": most if asked is None else min(asked, most)}
    callers = tool.get("allowed_callers")
    if callers is None and _CALL_FROM_CODE in kind:
        limited["allowed_callers"] = ["direct"]
    elif callers not in (None, ["direct"]):
        raise NoBound(
            f'"allowed_callers" {named(callers)} of the tool {named(name)} is refused: nobody limits how often '
            'the vendor\'s code runs; write ["direct"]'
        )
    return limited


def _reason(kind: object) -> str:
    if isinstance(kind, str):
        for start, reason in _REFUSED.items():
            if kind.startswith(start):
                return reason
    return "nobody here knows what it costs; tools of the client's own may be given"
