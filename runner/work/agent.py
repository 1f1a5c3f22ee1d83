"""A prompt task: the prompt of `afk.toml`, its input files and the payload, asked in one recorded call."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runner.work.context import Context, Dead

MAX_INPUT_BYTES = 2_000_000
"""Of all input files together."""
DEFAULT_MAX_TOKENS = 2_048


def run_prompt(context: Context, order: Mapping[str, Any]) -> str:
    """The model's text. Raises Dead for inputs that cannot be read, GateRefused when the gate says no."""
    parts = [f"File {name}:\n\n{text}" for name, text in read_inputs(Path(order["home"]), order["inputs"])]
    payload = json.loads(order["payload"])
    if payload not in ({}, None):
        parts.append(payload if isinstance(payload, str) else json.dumps(payload, ensure_ascii=False, indent=1))
    return context.ask(
        order["prompt"], *parts, model=order["model"], max_tokens=order["max_output_tokens"] or DEFAULT_MAX_TOKENS
    )


def read_inputs(home: Path, pattern: str | None) -> list[tuple[str, str]]:
    """Name and text of every file below the home that the pattern matches, in the order of their names.

    Links that lead out of the home are refused, as are files that are not text or too much together. Raises Dead.
    """
    if pattern is None:
        return []
    root = home.resolve()
    found: list[tuple[str, str]] = []
    size = 0
    for path in sorted(home.glob(pattern)):
        name = str(path.relative_to(home))
        if not path.is_file():
            continue
        if not path.resolve().is_relative_to(root):
            raise Dead(f"input {name} leads out of the home")
        size += path.stat().st_size
        if size > MAX_INPUT_BYTES:
            raise Dead(f"the inputs {pattern} have more than {MAX_INPUT_BYTES:,} bytes together")
        try:
            found.append((name, path.read_text("utf-8")))
        except (OSError, UnicodeDecodeError) as error:
            raise Dead(f"input {name} cannot be read as text: {error}") from None
    if not found:
        raise Dead(f"no file matches the inputs {pattern}")
    return found
