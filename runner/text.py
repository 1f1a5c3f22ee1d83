"""Text from outside, made safe for a terminal."""

from __future__ import annotations

import re

# Controls but for tab and newline, then what turns, hides, joins or breaks text: soft hyphen, Arabic letter mark,
# zero-width and direction marks, line separators, invisible operators, fillers, tags, and halves of a surrogate pair.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff"
    "\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
_BREAKS = re.compile(r"[\t\n]")
_NAMES = {"\t": r"\t", "\n": r"\n", "\r": r"\r"}


def visible(text: str) -> str:
    """The text with every character that acts on a terminal shown as an escape; tabs and newlines stay."""
    return _UNSAFE.sub(_escape, text)


def one_line(text: str, limit: int | None = None) -> str:
    """The same on one line, breaks shown as escapes too, cut to `limit` characters with an ellipsis."""
    # Cut first: escaping ten megabytes to show eighty characters is felt.
    short = text if limit is None or len(text) <= limit else text[: limit + 1]
    shown = _BREAKS.sub(_escape, visible(short))
    return shown if limit is None or len(shown) <= limit else shown[: max(limit - 1, 0)] + "…"


def _escape(match: re.Match[str]) -> str:
    char = match[0]
    if char in _NAMES:
        return _NAMES[char]
    code = ord(char)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
