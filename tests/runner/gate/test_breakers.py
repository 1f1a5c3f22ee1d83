"""The breaker's states on a real database: who opens it, who closes it, and how long it waits."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.store import breakers
from runner.store.breakers import JITTER, Breaker, BreakerState, CoolDown
from runner.store.db import Database
from runner.units import UnixMs
from tests.factories import NOW

NAME = "house/house-model"
COOL_DOWN = CoolDown(failures=3, first_ms=60_000, longest_ms=600_000)
LATER = UnixMs(NOW + 120_000)
"""The first cool-down is over."""


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    database = Database.open(tmp_path / "agent.db", create=True)
    yield database.connection
    database.close()


def fail(db: sqlite3.Connection, *, charge: int = 1, now: UnixMs = NOW) -> Breaker | None:
    return breakers.failed(
        db, NAME, charge=charge, reason="HTTP 500", cool_down=COOL_DOWN, now=now, rng=random.Random(1)
    )


def state(db: sqlite3.Connection) -> BreakerState:
    breaker = breakers.get(db, NAME)
    return breaker.state if breaker else BreakerState.CLOSED


def begin(db: sqlite3.Connection, charge: int, *, now: UnixMs = LATER) -> bool:
    return breakers.begin_trial(db, NAME, charge=charge, until=UnixMs(now + 60_000), now=now)


def open_it(db: sqlite3.Connection) -> Breaker:
    for _ in range(COOL_DOWN.failures):
        opened = fail(db)
    assert opened is not None
    return opened


def test_it_opens_on_failures_in_a_row(db: sqlite3.Connection) -> None:
    """The last of them, and only it, is told."""
    assert [fail(db) is not None for _ in range(3)] == [False, False, True]

    opened = breakers.get(db, NAME)
    assert opened is not None
    assert (opened.state, opened.failures, opened.opens, opened.reason) == (BreakerState.OPEN, 3, 1, "HTTP 500")


def test_a_success_in_between_starts_the_count_anew(db: sqlite3.Connection) -> None:
    fail(db)
    fail(db)
    assert breakers.succeeded(db, NAME, charge=1, now=NOW) is False

    assert [fail(db) is not None for _ in range(3)] == [False, False, True]


def test_what_was_in_flight_when_it_opened_changes_nothing(db: sqlite3.Connection) -> None:
    """Neither a success nor a failure of a call that is not the trial."""
    opened = open_it(db)

    assert breakers.succeeded(db, NAME, charge=9, now=NOW) is False
    assert fail(db, charge=9) is None

    after = breakers.get(db, NAME)
    assert after is not None
    assert (after.state, after.retry_at, after.opens) == (BreakerState.OPEN, opened.retry_at, 1)


def test_of_ten_callers_one_gets_the_trial(db: sqlite3.Connection) -> None:
    open_it(db)
    assert not begin(db, 1, now=NOW)

    assert [begin(db, charge) for charge in range(10)] == [True] + [False] * 9
    assert state(db) is BreakerState.HALF_OPEN


def test_a_trial_that_succeeds_closes_it(db: sqlite3.Connection) -> None:
    open_it(db)
    begin(db, 7)

    assert breakers.succeeded(db, NAME, charge=8, now=LATER) is False
    assert state(db) is BreakerState.HALF_OPEN
    assert breakers.succeeded(db, NAME, charge=7, now=LATER) is True
    assert state(db) is BreakerState.CLOSED
    assert [fail(db) is not None for _ in range(3)] == [False, False, True]


def test_a_trial_that_fails_opens_it_at_once_and_for_longer(db: sqlite3.Connection) -> None:
    open_it(db)
    begin(db, 7)

    opened = fail(db, charge=7, now=LATER)

    assert opened is not None
    assert opened.opens == 2
    assert opened.retry_at is not None
    assert 120_000 <= opened.retry_at - LATER <= 120_000 * (1 + JITTER)


@pytest.mark.parametrize("freed", ["cut", "restart", "lost"])
def test_a_trial_that_said_nothing_is_given_to_the_next(db: sqlite3.Connection, freed: str) -> None:
    open_it(db)
    begin(db, 7)
    now = LATER
    if freed == "cut":
        breakers.end_trial(db, NAME, charge=7, now=now)
    elif freed == "restart":
        breakers.forget_trials(db, now=now)
    else:
        now = UnixMs(now + 60_000)

    assert begin(db, 8, now=now)
    assert not begin(db, 9, now=now)
    assert breakers.succeeded(db, NAME, charge=7, now=now) is False


def test_one_tripped_by_hand_waits_for_a_hand(db: sqlite3.Connection) -> None:
    breakers.trip(db, NAME, reason="an outage", retry_at=None, now=NOW)

    assert not begin(db, 1, now=UnixMs(NOW + 10**12))
    assert breakers.reset(db, NAME, reason="over", now=NOW)
    assert state(db) is BreakerState.CLOSED
    assert not breakers.reset(db, "house/other", reason="over", now=NOW)


@given(opens=st.integers(1, 1_000), seed=st.integers())
def test_a_wait_doubles_up_to_the_longest_with_a_tenth_of_chance(opens: int, seed: int) -> None:
    grown = min(COOL_DOWN.longest_ms, COOL_DOWN.first_ms * 2 ** (opens - 1))

    assert grown <= COOL_DOWN.wait_ms(opens, random.Random(seed)) <= grown * (1 + JITTER)


def test_two_breakers_do_not_wait_for_the_same_moment() -> None:
    rng = random.Random(1)

    assert len({COOL_DOWN.wait_ms(1, rng) for _ in range(100)}) > 90
