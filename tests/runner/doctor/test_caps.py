"""A cap that a person raised for today."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import pytest

from runner.commands import Door
from runner.doctor.caps import raised
from runner.doctor.look import Look
from runner.store.db import Database
from runner.units import MicroUsd
from tests.factories import make_charge, make_running, make_settings

DOLLAR = 1_000_000


@pytest.fixture
def look(look: Look) -> Look:
    """The cap of the home was lowered to a dollar after a person had raised today's."""
    with closing(Database.open(look.home.db)) as database, closing(Door(look.home, by="ada@cli")) as door:
        make_settings(database.connection, daily_usd=2 * DOLLAR)
        door.raise_cap(MicroUsd(3 * DOLLAR), reason="the release\nneeds it")
        make_settings(database.connection, daily_usd=DOLLAR)
    return look


def test_a_raise_is_told_with_what_takes_it_back(look: Look) -> None:
    (found,) = raised(look)

    assert found.level.value == "warn"
    assert found.text.startswith("today's cap is $3.00 until 2")
    assert found.text.endswith("Z, raised by ada@cli: the release needs it; only then daily_usd, $1.00, holds")
    assert found.mend == (
        "if that is no longer meant: afk-runner spend --raise 1.00 --reason 'taken back' --home " + str(look.home.root)
    )


def test_a_raise_that_is_spent_cannot_be_taken_back(look: Look) -> None:
    with closing(Database.open(look.home.db)) as database:
        make_charge(database.connection, make_running(database.connection), hold=3 * DOLLAR, cost=3 * DOLLAR)

    assert [found.mend for found in raised(look)] == [None]


def test_a_raise_that_was_taken_back_is_not_told(look: Look) -> None:
    with closing(Door(look.home, by="ada@cli")) as door:
        door.raise_cap(MicroUsd(DOLLAR), reason="done", may_lower=True)

    assert list(raised(look)) == []
    assert list(raised(replace(look, config=None))) == []
