"""The gate that all text passes."""

from __future__ import annotations

import sys
import unicodedata
from dataclasses import dataclass

import pytest

from console.clean import LIMIT, clean, cleaned, one_line
from console.look import Role
from tests.console.hostile import HOSTILE

OBEYED = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Categories a terminal obeys, or that take no room of their own."""


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_keeps_what_a_terminal_obeys_or_hides(text: str) -> None:
    shown = clean(text)

    assert not [char for char in shown if unicodedata.category(char) in OBEYED and char != "\n"]


def test_every_hidden_character_of_unicode_is_shown_by_its_number() -> None:
    """The ranges written down in `clean` are those of this Python's Unicode."""
    hidden = [
        chr(code)
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) in OBEYED and chr(code) not in "\n\t"
    ]

    assert [hex(ord(char)) for char in hidden if not clean(f"a{char}b").startswith("a\\")] == []


@pytest.mark.parametrize("text", ["plain", "Grüße, 漢字, 😀", "naïve café", "हिन्दी", "שלום", ""])
def test_honest_text_is_left_as_it_is(text: str) -> None:
    assert clean(text) == text


@pytest.mark.parametrize("text", HOSTILE[:-1], ids=range(len(HOSTILE) - 1))
def test_cleaning_twice_changes_nothing_more(text: str) -> None:
    assert clean(clean(text, 500), LIMIT) == clean(text, 500)


def test_escape_is_shown_as_four_characters() -> None:
    assert clean("\x1b[2J") == "\\x1b[2J"
    assert clean("\u202e") == "\\u202e"
    assert clean("\U000e0041") == "\\U000e0041"


def test_a_huge_text_is_cut_before_anything_else_is_done() -> None:
    assert clean("\x1b" * 10_000_000, limit=3) == "\\x1b\\x1b\\x1b…"


def test_marks_do_not_pile_up_and_do_not_paint_on_the_cell_before() -> None:
    assert clean("a" + "\u0301" * 5) == "a\u0301\u0301" + "\\u0301" * 3
    assert clean("\u0301a") == "\\u0301a"


def test_line_feeds_stay_until_there_is_but_one_line() -> None:
    assert clean("a\r\nb\tc") == "a\nb    c"
    assert one_line("a\nb") == "a\\nb"


@dataclass(frozen=True)
class _Inner:
    text: str
    number: int
    role: Role


@dataclass(frozen=True)
class _Outer:
    inner: tuple[_Inner, ...]
    steps: dict[str, str]
    nothing: str | None


def test_a_value_is_cleaned_however_deep_its_texts_are() -> None:
    dirty = _Outer((_Inner("\x1b", 1, Role.BAD),), {"\x07": "\x08"}, None)

    assert cleaned(dirty) == _Outer((_Inner("\\x1b", 1, Role.BAD),), {"\\x07": "\\x08"}, None)
