"""The picture of a day: nothing spent is blank, whatever was spent is seen, and the highest hour is told."""

from __future__ import annotations

import pytest

from console.line import plain, width_of
from console.look import ASCII, UNICODE, Look
from console.views.chart import LABEL, chart, peak_words, short
from runner.snapshot import HourSpend
from runner.units import HOUR_MS, MicroUsd, UnixMs
from tests.factories import NOW

FIRST = NOW // HOUR_MS * HOUR_MS - 23 * HOUR_MS


def hours(*amounts: int) -> tuple[HourSpend, ...]:
    """The last of 24 hours; those before them cost nothing."""
    filled = (0,) * (24 - len(amounts)) + amounts
    return tuple(
        HourSpend(since=UnixMs(FIRST + number * HOUR_MS), settled=MicroUsd(amount), held=MicroUsd(0))
        for number, amount in enumerate(filled)
    )


def columns(amounts: tuple[int, ...], width: int, height: int, look: Look) -> list[str]:
    """Each hour from top to bottom."""
    rows = [plain(one)[LABEL + 1 :] for one in chart(hours(*amounts), width, height, look)[:height]]
    wide = max(1, min(4, (width - LABEL - 3) // 24))
    return ["".join(row.ljust(width)[hour * wide] for row in rows) for hour in range(24)]


@pytest.mark.parametrize("look", [UNICODE, ASCII], ids=["unicode", "ascii"])
@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_every_hour_that_cost_something_has_a_mark_and_no_other(look: Look, width: int) -> None:
    drawn = columns((1, 0, 5_000_000, 0, 2_500_000), width, 4, look)

    assert [bool(one.strip()) for one in drawn[-5:]] == [True, False, True, False, True]
    assert not "".join(drawn[:-5]).strip()
    assert drawn[-3] == look.bars[-1] * 4
    assert drawn[-1] == "  " + look.bars[-1] * 2


def test_ascii_is_plain() -> None:
    for one in chart(hours(1, 2, 3, 4, 5, 6, 7, 8), 80, 5, ASCII):
        assert plain(one).isascii()


@pytest.mark.parametrize("width", range(20, 140, 7))
def test_it_stays_within_its_width(width: int) -> None:
    wide = [width_of(one) for one in chart(hours(*range(24)), width, 3, UNICODE)[:4]]

    assert max(wide) <= max(width, LABEL + 2 + 24)


def test_the_axis_tells_the_peak_and_the_hours() -> None:
    drawn = [plain(one) for one in chart(hours(0, 1_349_000, 0), 80, 3, UNICODE)]

    assert drawn[0].startswith("  $1.349 │")
    assert drawn[3].strip().startswith("$0 └──")
    assert drawn[4].split() == ["18:00Z", "00:00Z", "06:00Z", "12:00Z", "now"]
    assert drawn[4].index("now") == LABEL + 1 + 23 * 2


def test_words_say_the_same() -> None:
    assert peak_words(hours(0, 1_349_000, 20)) == "most $1.349 in the hour from 16:00Z; some in 2 of 24 hours"
    assert peak_words(hours()) == "nothing spent"
    assert chart(hours(), 80, 3, UNICODE) == []


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        (1, "<$0.001"),
        (999_994_999, "$999.99"),
        (999_999_999, "$1,000"),
        (1_234_560_000, "$1,235"),
        (99_999_000_000, "$99,999"),
        (200_000_000_000, "$200k"),
        (1_000_000_000_000, "$1,000k"),
    ],
)
def test_an_amount_of_any_size_has_its_place(amount: int, said: str) -> None:
    assert short(amount) == said
