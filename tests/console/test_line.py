"""Lines, in cells."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from console.line import Part, cell, cell_apart, fit, line, pack, plain, spread, width_of, wrap
from console.look import ASCII, UNICODE


@pytest.mark.parametrize("text", ["", "abc", "漢字漢字", "a漢b字c", "😀😀😀"])
@pytest.mark.parametrize("width", range(8))
def test_a_cell_is_exactly_as_wide_as_asked(text: str, width: int) -> None:
    assert cell_len(cell(text, width, UNICODE)) == width
    assert width_of(fit(line(text), width, ASCII)) <= width


@pytest.mark.parametrize(
    "text", ["", "abc", "漢字漢字", "a漢b字c", "😀😀😀", "abcdefghij\u0301", "ab\u0301cdefgh\u0301i"]
)
@pytest.mark.parametrize("width", range(8))
def test_so_is_one_that_is_cut_in_the_middle(text: str, width: int) -> None:
    shown = cell_apart(text, width, UNICODE)

    assert cell_len(shown) == width
    assert "…\u0301" not in shown


def test_the_end_stays_of_what_is_cut_in_the_middle() -> None:
    assert cell_apart("disk@2026-11-21T18:30", 13, UNICODE) == "disk@2…T18:30"
    assert cell_apart("disk@2026-11-21T18:30", 13, ASCII) == "disk@2~T18:30"
    assert cell_apart("disk@noon", 13, UNICODE) == "disk@noon    "
    assert len(cell_apart("x" * 10_000_000, 13, UNICODE)) == 13


def test_a_cut_is_marked() -> None:
    assert cell("abcdef", 4, UNICODE) == "abc…"
    assert cell("abcdef", 4, ASCII) == "abc~"
    assert cell("7", 3, UNICODE, right=True) == "  7"


def test_parts_of_the_highest_rank_go_first() -> None:
    parts = [Part(spans=line("runner")), Part(spans=line("pid 41"), rank=2), Part(spans=line("late"), rank=1)]

    assert plain(pack(parts, 80)) == "runner  pid 41  late"
    assert plain(pack(parts, 15)) == "runner  late"
    assert plain(pack(parts, 8)) == "runner"


def test_the_right_end_goes_when_there_is_no_room() -> None:
    assert plain(spread(line("left"), line("right"), 12, UNICODE)) == "left   right"
    assert plain(spread(line("left"), line("right"), 9, UNICODE)) == "left"


@pytest.mark.parametrize("width", [1, 2, 3, 7, 20])
def test_wrapping_loses_nothing_but_blanks(width: int) -> None:
    text = "one two threefourfive 漢字漢字漢字 six\n\nseven"

    wrapped = wrap(text, width)

    assert "".join(wrapped).replace(" ", "") == text.replace(" ", "").replace("\n", "")
    assert max(cell_len(one) for one in wrapped) <= max(2, width)
