"""Text from outside is text: the one gate that everything read passes before it becomes part of a screen.

A terminal obeys control characters wherever they stand, so a job's error could move the cursor, set the title or fill
the clipboard; invisible and direction-changing characters can make a line read as another. Both are shown instead.
"""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Callable
from enum import Enum
from functools import cache
from operator import attrgetter, is_
from typing import TypeVar

T = TypeVar("T")

LIMIT = 20_000
"""Characters of one text that are looked at: more than any screen shows, few enough to be quick."""
MARKS = 2
"""Combining characters kept on one letter; a pile of them paints over its neighbours."""

# Controls, format characters, surrogates, line separators, fillers and whatever else takes no room of its own.
# A test compares this with the categories of `unicodedata`.
_HIDDEN = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5"
    "\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufeff\uffa0\ufff0-\uffff"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_MARK_RUN = re.compile("[^\x00-\u02ff]+")
_STYLE_ONLY = re.compile(
    "[\ufe00-\ufe0f]"
)  # choose how a character is drawn; harmless, and terminals disagree on width


def clean(text: str, limit: int = LIMIT) -> str:
    """The same text with nothing in it that a terminal obeys or hides; line feeds stay, tabs become spaces.

    Cut to `limit` characters first, for the work must not grow with what somebody stored.
    """
    if len(text) > limit:
        text = f"{text[:limit]}…"
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\r\n", "\n").replace("\t", "    ")
    text = _STYLE_ONLY.sub("", text)
    text = _HIDDEN.sub(_visible, text)
    return text if text.isascii() else _MARK_RUN.sub(_few_marks, text)


def one_line(text: str) -> str:
    """A cleaned text on one line, its line feeds shown."""
    return text.replace("\n", "\\n") if "\n" in text else text


def cleaned(value: T) -> T:
    """A value of the read door with every text in it cleaned, however deep; numbers and enums are left."""
    if value is None or isinstance(value, (int, Enum)):
        return value
    if isinstance(value, str):
        return clean(value)  # type: ignore[return-value]
    if isinstance(value, tuple):
        items = tuple([cleaned(item) for item in value])
        return value if all(map(is_, items, value)) else items  # type: ignore[return-value]
    if isinstance(value, dict):
        return {cleaned(name): cleaned(item) for name, item in value.items()}  # type: ignore[return-value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        # Nearly every text is clean already, and copying a page of rows for nothing would cost as much as reading it.
        changed = {}
        names, values = _reader(type(value))
        for name, was in zip(names, values(value), strict=True):
            if type(was) not in _NO_TEXT and (now := cleaned(was)) is not was:
                changed[name] = now
        return dataclasses.replace(value, **changed) if changed else value
    return value


_NO_TEXT = frozenset({int, bool, float, type(None)})
"""Kinds of most columns: a page of rows has thousands of them."""


@cache
def _reader(kind: type) -> tuple[tuple[str, ...], Callable[[object], tuple[object, ...]]]:
    names = tuple(field.name for field in dataclasses.fields(kind))
    if len(names) < 2:  # one name alone would give no tuple
        return names, lambda value: tuple([getattr(value, name) for name in names])
    return names, attrgetter(*names)


def _visible(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _few_marks(run: re.Match[str]) -> str:
    kept = []
    before = run.string[run.start() - 1] if run.start() else "\n"
    # A mark without a letter of its own text to stand on would be drawn over the cell before: it is shown instead.
    marks = MARKS if before in "\n " else 0
    for char in run[0]:
        marks = marks + 1 if unicodedata.category(char) in ("Mn", "Me") else 0
        kept.append(char if marks <= MARKS else f"\\u{ord(char):04x}")
    return "".join(kept)
