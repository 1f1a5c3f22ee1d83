"""Values as words."""

from __future__ import annotations

from pathlib import Path

import pytest

from console import format
from runner.units import DAY_MS, HOUR_MS, MINUTE_MS
from tests.factories import NOW


def test_an_upstream_is_named_once() -> None:
    assert format.model_name("offline/offline/extract") == "offline/extract"
    assert format.model_name("anthropic/claude-haiku-4-5") == "anthropic/claude-haiku-4-5"
    assert format.model_name("offline/*") == "offline/*"


@pytest.mark.parametrize(
    ("ms", "said"),
    [
        (None, "-"),
        (-5, "0s"),
        (4_999, "0s"),
        (5_000, "5s"),
        (37_000, "30s"),
        (59_999, "50s"),
        (MINUTE_MS, "1m"),
        (HOUR_MS + 5 * MINUTE_MS, "1h05"),
        (14 * HOUR_MS, "14h"),
        (9 * DAY_MS, "9d"),
    ],
)
def test_an_age_moves_in_steps(ms: int | None, said: str) -> None:
    assert format.age(ms) == said


@pytest.mark.parametrize(
    ("amount", "said"),
    [(0, "-"), (1, "<$0.001"), (3_100, "$0.003"), (41_000, "$0.041"), (2_000_000, "$2.000"), (12_300_000, "$12.30")],
)
def test_money_of_a_column_never_reads_as_nothing_when_it_is_something(amount: int, said: str) -> None:
    assert format.money(amount) == said


def test_a_time_has_its_date_when_it_is_not_of_today() -> None:
    assert format.when(NOW - HOUR_MS, NOW) == "16:46Z"
    assert format.when(NOW - 2 * DAY_MS, NOW) == "03-15 17:46Z"
    assert format.when(NOW + 3 * 366 * DAY_MS, NOW)[:2] == "20"
    assert format.when(None, NOW) == format.clock(2**62) == "-"


def test_a_home_is_named_as_a_person_writes_it() -> None:
    assert format.place(Path("/home/ada/agents"), "/home/ada") == "~/agents"
    assert format.place(Path("/srv/\x1b[2J"), "/home/ada") == "/srv/\\x1b[2J"
    assert format.place(Path("/" + "x" * 90), "") == "…" + "x" * 27
