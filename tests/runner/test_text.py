"""Text from outside, made safe for a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.text import one_line, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, Köln, 日本, 😀", "plain, Köln, 日本, 😀"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\tb\nc", "a\tb\nc"),
        ("over\rwritten", "over\\rwritten"),
        ("\x7f\x9b", "\\x7f\\x9b"),
        ("\u202eabc\u2066", "\\u202eabc\\u2066"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("\U000e0041", "\\U000e0041"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_acts_on_a_terminal_is_shown(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_one_line_is_one_line_and_short() -> None:
    assert one_line("a\nb\tc") == "a\\nb\\tc"
    assert one_line("x" * 100, 10) == "x" * 9 + "…"
    assert one_line("short", 10) == "short"


@given(st.text(), st.integers(min_value=1, max_value=50))
def test_nothing_passes_that_is_not_printable(text: str, limit: int) -> None:
    assert all(char in "\t\n" or not (ord(char) < 32 or 127 <= ord(char) < 160) for char in visible(text))
    assert len(one_line(text, limit)) <= limit
