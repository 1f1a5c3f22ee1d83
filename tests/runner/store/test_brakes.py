"""The tables of the brakes: what they forget, and what they never do."""

from __future__ import annotations

import sqlite3

import pytest

from runner.store import rate_pauses, rate_uses, repeats, tallies
from runner.store.tallies import Tally
from runner.units import HOUR_MS, MINUTE_MS, UnixMs
from tests.factories import NOW


def test_a_window_holds_its_seconds_and_no_others(db: sqlite3.Connection) -> None:
    for second in range(120):
        tallies.note(db, "a/b", now=UnixMs(NOW + second * 1000), keep_ms=MINUTE_MS, calls=2, failures=1, spent=second)
    last = UnixMs(NOW + 119_999)

    assert tallies.of(db, "a/b", window_ms=MINUTE_MS, now=last) == Tally(calls=120, failures=60)
    assert tallies.of(db, "a/b", window_ms=10_000, now=last) == Tally(calls=20, failures=10)
    assert tallies.of(db, "a/c", window_ms=MINUTE_MS, now=last) == Tally()
    assert tallies.spent(db, window_ms=3_000, now=last) == {"a/b": 117 + 118 + 119}
    assert db.execute("SELECT count(*) FROM tallies").fetchone()[0] <= 61


def test_what_a_clock_that_was_ahead_has_left_counts_for_nothing(db: sqlite3.Connection) -> None:
    tallies.note(db, "a/b", now=UnixMs(NOW + HOUR_MS), keep_ms=MINUTE_MS, calls=9, failures=9, spent=9)

    assert tallies.of(db, "a/b", window_ms=MINUTE_MS, now=NOW) == Tally()
    assert tallies.spent(db, window_ms=MINUTE_MS, now=NOW) == {}


def test_the_dearest_comes_first(db: sqlite3.Connection) -> None:
    for name, spent in (("a/cheap", 1), ("a/dear", 9), ("a/free", 0), ("a/middle", 5)):
        tallies.note(db, name, now=NOW, keep_ms=MINUTE_MS, calls=1, spent=spent)

    assert list(tallies.spent(db, window_ms=MINUTE_MS, now=NOW).items()) == [
        ("a/dear", 9),
        ("a/middle", 5),
        ("a/cheap", 1),
    ]


def test_answers_are_counted_for_an_hour_from_the_first(db: sqlite3.Connection) -> None:
    def answer(after_ms: int) -> int:
        return repeats.answered(db, job_id=1, request="r", now=UnixMs(NOW + after_ms))

    assert [answer(after_ms) for after_ms in (0, 1, HOUR_MS - 1, HOUR_MS, HOUR_MS + 1)] == [1, 2, 3, 1, 2]
    assert answer(-HOUR_MS) == 1, "a clock set back begins anew"


def test_counts_that_are_over_are_deleted_in_batches(db: sqlite3.Connection) -> None:
    db.execute("BEGIN")  # hundreds of commits would say nothing more
    for number in range(repeats.BATCH + 7):
        repeats.answered(db, job_id=number, request="r", now=NOW)
    repeats.answered(db, job_id=0, request="young", now=UnixMs(NOW + 1))

    deleted = [repeats.prune(db, now=UnixMs(NOW + HOUR_MS)) for _ in range(3)]

    assert deleted == [repeats.BATCH, 7, 0]
    assert db.execute("SELECT request FROM repeats").fetchall() == [("young",)]


def test_a_pause_that_lifted_is_forgotten(db: sqlite3.Connection) -> None:
    for name, after_ms in (("a", 0), ("b", 1)):
        rate_pauses.pause(db, name, until=UnixMs(NOW + after_ms), reason="HTTP 429", now=UnixMs(NOW - 1))

    rate_pauses.prune(db, now=NOW)

    assert [one.name for one in rate_pauses.all_of(db, now=UnixMs(0))] == ["b"]


@pytest.mark.parametrize(("amount", "index"), [(1, 0), (10, 0), (11, 1), (30, 1), (31, 2), (60, 2)])
def test_tokens_are_free_when_the_calls_that_took_them_are_a_minute_old(
    db: sqlite3.Connection, amount: int, index: int
) -> None:
    starts = [UnixMs(NOW + place * 7) for place in range(3)]
    for charge, (at, tokens) in enumerate(zip(starts, (10, 20, 30), strict=True)):
        rate_uses.add(db, charge=charge, upstream="a", tokens=tokens, now=at)

    assert rate_uses.tokens_freed_at(db, "a", amount=amount) == starts[index] + MINUTE_MS


def test_calls_of_one_millisecond_are_free_together_and_counted_apart(db: sqlite3.Connection) -> None:
    for charge in range(3):
        rate_uses.add(db, charge=charge, upstream="a", tokens=1, now=NOW)
    rate_uses.add(db, charge=9, upstream="b", tokens=1, now=NOW)

    assert [rate_uses.requests_freed_at(db, "a", amount=amount) for amount in (1, 2, 3)] == [NOW + MINUTE_MS] * 3
    assert rate_uses.used(db, "a", now=UnixMs(NOW + MINUTE_MS - 1)).requests == 3
    assert rate_uses.used(db, "a", now=UnixMs(NOW + MINUTE_MS)).requests == 0
    assert rate_uses.used(db, "b", now=UnixMs(NOW + MINUTE_MS - 1)).requests == 1


def test_names_out_of_use_are_forgotten_beyond_a_number(
    db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client may ask a local upstream for a new model with every call. Nothing that a window looks at is lost."""
    monkeypatch.setattr(tallies, "KEEP_NAMES", 2)
    now = UnixMs(NOW + 2 * HOUR_MS)
    for place, name in enumerate(("a/1", "a/2", "a/3", "a/4")):
        tallies.note(db, name, now=UnixMs(NOW + place * 1000), keep_ms=MINUTE_MS, calls=1)

    assert tallies.prune(db, now=UnixMs(NOW + MINUTE_MS)) == 0
    assert tallies.prune(db, now=now) == 2
    assert tallies.names(db) == ["a/3", "a/4"]
