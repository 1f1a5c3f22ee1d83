"""The built-in model as an agent and as a judge, so that tools and criteria can be tried without a key or a network.

Honest about what it is: it reads the files it is offered, one after the other, writes what it picked out where the
instruction names a file, drafts where the instruction says so, and judges by counting words, which it says.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from runner.gate.sentences import words_of

MOST_FILES = 10
"""Read through `read_file` before it answers."""
ENOUGH = 0.5
"""Share of a criterion's telling words that must occur in a text for it to count as met."""
SAME = 4
"""Letters by which two words count as one: failing, fails, failed."""
SLICE = 1_000
"""Characters whose words are counted at a time."""
_FILE = re.compile(r"\b[A-Za-z0-9][\w-]{0,60}\.(?:md|txt|json|csv)\b")
_DRAFT = re.compile(r"\bdraft", re.IGNORECASE)
_CRITERION = re.compile(r"^(\d{1,3})\. (.+)$", re.MULTILINE)


def next_call(body: Mapping[str, Any], text: str) -> dict[str, Any] | None:
    """The tool call it makes before it answers with `text`; None: it answers."""
    offered = {tool["name"]: tool for tool in _dicts(body.get("tools")) if isinstance(tool.get("name"), str)}
    made = [block for block in _blocks(body, "assistant") if block.get("type") == "tool_use"]
    instruction = " ".join(_texts(body)[:1])
    for name, given in _wishes(offered, instruction, text):
        if (name, given) not in [(call.get("name"), call.get("input")) for call in made] and not (
            name != "read_file" and name in [call.get("name") for call in made]
        ):
            digest = hashlib.sha256(json.dumps([len(made), name, given], sort_keys=True).encode()).hexdigest()
            return {"type": "tool_use", "id": f"toolu_offline_{digest[:16]}", "name": name, "input": given}
    return None


def acts(body: Mapping[str, Any]) -> list[object]:
    """Ids of the calls by which it did something, rather than read something."""
    return [
        block.get("id")
        for block in _blocks(body, "assistant")
        if block.get("type") == "tool_use" and block.get("name") in ("write_output", "draft")
    ]


def _wishes(
    offered: Mapping[str, Mapping[str, Any]], instruction: str, text: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    files = _choices(offered.get("read_file"), "path")
    for path in files[:MOST_FILES]:
        yield "read_file", {"path": path}
    named = [name for name in _FILE.findall(instruction) if not any(path.endswith(name) for path in files)]
    if "write_output" in offered and named:
        yield "write_output", {"name": named[0], "content": text + "\n"}
    performers = _choices(offered.get("draft"), "task")
    if performers and _DRAFT.search(instruction):
        yield "draft", {"task": performers[0], "payload": {"text": text}, "summary": text.split("\n", 1)[0][:300]}


def judgement(body: Mapping[str, Any]) -> str | None:
    """The verdicts, where a request asks for verdicts in that shape; None: it asks for something else."""
    shape: Any = body.get("output_config")
    for key in ("format", "schema", "properties"):
        shape = shape.get(key) if isinstance(shape, dict) else None
    texts = _texts(body)
    if not isinstance(shape, dict) or "verdicts" not in shape or len(texts) < 2:
        return None
    text = texts[1].partition("\n")[2]
    said = set().union(*(words_of(text[start : start + SLICE]) for start in range(0, len(text), SLICE)))
    verdicts = [_verdict(int(number), words_of(text), said) for number, text in _CRITERION.findall(texts[0])]
    return json.dumps({"verdicts": verdicts})


def _verdict(number: int, wanted: set[str], said: set[str]) -> dict[str, Any]:
    beginnings = {word[:SAME] for word in said}
    found = sorted(word for word in wanted if word[:SAME] in beginnings)
    reason = f"{len(found)} of {len(wanted)} telling words occur{': ' if found else ''}{', '.join(found[:8])}"
    return {
        "number": number,
        "met": bool(wanted) and len(found) >= ENOUGH * len(wanted),
        "reason": f"{reason}; words were counted, the sense was not judged",
    }


def _choices(tool: Mapping[str, Any] | None, name: str) -> list[str]:
    value: Any = tool
    for key in ("input_schema", "properties", name, "enum"):
        value = value.get(key) if isinstance(value, dict) else None
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _texts(body: Mapping[str, Any]) -> list[str]:
    return [block["text"] for block in _blocks(body, "user") if isinstance(block.get("text"), str)]


def _blocks(body: Mapping[str, Any], role: str) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    for turn in _dicts(body.get("messages")):
        if turn.get("role") == role:
            content = turn.get("content")
            found += [{"type": "text", "text": content}] if isinstance(content, str) else _dicts(content)
    return found


def _dicts(value: object) -> Sequence[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
