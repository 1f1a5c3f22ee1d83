"""The table of days: what counts and what is free around midnight, odd days, other zones and clocks that are set.

Every row is a day in the life of one ledger under a cap of 100. A line is a time, what a call may cost, and what stands
under the cap after it was admitted or refused: what is committed, and what is free.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from runner.gate.admission import Refusal
from runner.store.db import Database
from runner.units import DAY_MS, HOUR_MS, MicroUsd, UnixMs, day_of
from tests.factories import NOW, make_running
from tests.runner.gate.books import admit, at, cap_of, make_call, make_policy

CAP = 100


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    database = Database.open(tmp_path / "agent.db", create=True)
    yield database.connection
    database.close()


@dataclass(frozen=True, slots=True)
class Line:
    """One call."""

    time: str
    """Of the clock, in UTC."""
    hold: int
    gate: str | None
    """What refuses it; None: it goes."""
    committed: int
    free: int
    zone: str = ""
    """The configured zone from here on; empty: as before."""
    lifts: str = ""
    """When it says it lifts, in UTC."""


@dataclass(frozen=True, slots=True)
class Row:
    """One day in the life of a ledger."""

    name: str
    zone: str
    lines: tuple[Line, ...]
    cap: str = "day"
    """Whose numbers the lines show."""
    rolling: bool = False
    """A cap of the last 24 hours stands beside the day's."""


TABLE = (
    Row(
        "a pair of days spends twice the cap within a millisecond",
        "UTC",
        (
            Line("2030-03-17T23:59:59.999", 100, None, 100, 0),
            Line("2030-03-17T23:59:59.999", 1, "cap:day", 100, 0, lifts="2030-03-18T00:00:00"),
            Line("2030-03-18T00:00:00.000", 100, None, 100, 0),
            Line("2030-03-18T00:00:00.000", 1, "cap:day", 100, 0, lifts="2030-03-19T00:00:00"),
        ),
    ),
    Row(
        "unless the last 24 hours are capped too",
        "UTC",
        (
            Line("2030-03-17T23:59:59.999", 100, None, 100, 0),
            Line("2030-03-18T00:00:00.000", 1, "cap:rolling", 0, 100, lifts="2030-03-19T00:00:00"),
            Line("2030-03-18T23:59:59.999", 1, "cap:rolling", 0, 100, lifts="2030-03-19T00:00:00"),
            Line("2030-03-19T00:00:00.000", 100, None, 100, 0),
        ),
        rolling=True,
    ),
    Row(
        "the day of 23 hours in Berlin",
        "Europe/Berlin",
        (
            Line("2030-03-30T22:59:59.999", 60, None, 60, 40),
            Line("2030-03-30T23:00:00.000", 100, None, 100, 0),
            Line("2030-03-31T01:00:00.000", 1, "cap:day", 100, 0, lifts="2030-03-31T22:00:00"),  # 02:00 is 03:00
            Line("2030-03-31T21:59:59.999", 1, "cap:day", 100, 0, lifts="2030-03-31T22:00:00"),
            Line("2030-03-31T22:00:00.000", 100, None, 100, 0),
        ),
    ),
    Row(
        "the day of 25 hours in Berlin, whose hour from two to three comes twice",
        "Europe/Berlin",
        (
            Line("2030-10-26T22:00:00.000", 40, None, 40, 60),
            Line("2030-10-27T00:30:00.000", 40, None, 80, 20),
            Line("2030-10-27T01:30:00.000", 21, "cap:day", 80, 20, lifts="2030-10-27T23:00:00"),
            Line("2030-10-27T22:59:59.999", 20, None, 100, 0),
            Line("2030-10-27T23:00:00.000", 100, None, 100, 0),
        ),
    ),
    Row(
        "the day of 25 hours in New York",
        "America/New_York",
        (
            Line("2030-11-03T04:00:00.000", 100, None, 100, 0),
            Line("2030-11-04T04:59:59.999", 1, "cap:day", 100, 0, lifts="2030-11-04T05:00:00"),
            Line("2030-11-04T05:00:00.000", 100, None, 100, 0),
        ),
    ),
    Row(
        "a day that has no midnight, in Cairo",
        "Africa/Cairo",
        (
            Line("2030-04-25T21:59:59.999", 100, None, 100, 0),
            Line("2030-04-25T21:59:59.999", 1, "cap:day", 100, 0, lifts="2030-04-25T22:00:00"),  # 00:00 is 01:00
            Line("2030-04-25T22:00:00.000", 100, None, 100, 0),
            Line("2030-04-26T20:59:59.999", 1, "cap:day", 100, 0, lifts="2030-04-26T21:00:00"),
            Line("2030-04-26T21:00:00.000", 100, None, 100, 0),
        ),
    ),
    Row(
        "a day whose last hour comes twice, in Cairo",
        "Africa/Cairo",
        (
            Line("2030-10-31T20:59:59.999", 100, None, 100, 0),
            Line("2030-10-31T21:00:00.000", 1, "cap:day", 100, 0, lifts="2030-10-31T22:00:00"),  # 24:00 is 23:00
            Line("2030-10-31T22:00:00.000", 100, None, 100, 0),
        ),
    ),
    Row(
        "a day that was left out of the calendar, in Apia",
        "Pacific/Apia",
        (
            Line("2011-12-30T09:59:59.999", 100, None, 100, 0),  # Thursday the 29th
            Line("2011-12-30T09:59:59.999", 1, "cap:day", 100, 0, lifts="2011-12-30T10:00:00"),
            Line("2011-12-30T10:00:00.000", 100, None, 100, 0),  # Saturday the 31st
        ),
    ),
    Row(
        "the zone that is first into a day",
        "Pacific/Kiritimati",
        (
            Line("2030-03-17T09:59:59.999", 100, None, 100, 0),
            Line("2030-03-17T10:00:00.000", 100, None, 100, 0),
            Line("2030-03-18T09:59:59.999", 1, "cap:day", 100, 0, lifts="2030-03-18T10:00:00"),
        ),
    ),
    Row(
        "the zone that is last out of it",
        "Pacific/Pago_Pago",
        (
            Line("2030-03-17T10:59:59.999", 100, None, 100, 0),
            Line("2030-03-17T11:00:00.000", 100, None, 100, 0),
            Line("2030-03-18T10:59:59.999", 1, "cap:day", 100, 0, lifts="2030-03-18T11:00:00"),
        ),
    ),
    Row(
        "a zone to the west between two runs frees nothing",
        "Pacific/Kiritimati",
        (
            Line("2030-03-17T12:00:00.000", 70, None, 70, 30),  # the 18th there
            Line("2030-03-17T12:00:01.000", 31, "cap:day", 70, 30, "America/New_York", "2030-03-19T04:00:00"),
            Line("2030-03-18T04:00:00.000", 31, "cap:day", 70, 30, lifts="2030-03-19T04:00:00"),  # the 18th here too
            Line("2030-03-19T04:00:00.000", 100, None, 100, 0),
        ),
    ),
    Row(
        "a zone to the east opens its day, as midnight does, and the way back frees nothing",
        "America/New_York",
        (
            Line("2030-03-17T12:00:00.000", 70, None, 70, 30),
            Line("2030-03-17T12:00:01.000", 100, None, 100, 0, "Pacific/Kiritimati"),
            Line("2030-03-17T12:00:02.000", 1, "cap:day", 170, 0, "America/New_York", "2030-03-19T04:00:00"),
        ),
    ),
    Row(
        "a clock set back a day frees nothing, and says when it lifts in truth",
        "UTC",
        (
            Line("2030-03-17T12:00:00.000", 100, None, 100, 0),
            Line("2030-03-16T12:00:00.000", 1, "cap:day", 100, 0, lifts="2030-03-18T00:00:00"),
            Line("2030-03-17T00:00:00.000", 1, "cap:day", 100, 0, lifts="2030-03-18T00:00:00"),
            Line("2030-03-18T00:00:00.000", 100, None, 100, 0),
        ),
    ),
    Row(
        "a clock set forward a day opens that day, and the way back counts both",
        "UTC",
        (
            Line("2030-03-17T12:00:00.000", 60, None, 60, 40),
            Line("2030-03-18T12:00:00.000", 70, None, 70, 30),
            Line("2030-03-17T12:00:00.000", 1, "cap:day", 130, 0, lifts="2030-03-18T00:00:00"),
            Line("2030-03-18T00:00:00.000", 30, None, 100, 0),
        ),
    ),
    Row(
        "a clock set forward a day is held by the last 24 hours on its way back",
        "UTC",
        (
            Line("2030-03-17T12:00:00.000", 30, None, 30, 70),
            Line("2030-03-18T11:00:00.000", 70, None, 70, 30),
            Line("2030-03-17T12:00:00.000", 1, "cap:rolling", 100, 0, lifts="2030-03-18T12:00:00.001"),
        ),
        rolling=True,
    ),
    Row(
        "an hour forward over midnight and back",
        "UTC",
        (
            Line("2030-03-17T23:30:00.000", 80, None, 80, 20),
            Line("2030-03-18T00:30:00.000", 20, None, 20, 80),
            Line("2030-03-17T23:30:00.000", 1, "cap:day", 100, 0, lifts="2030-03-18T00:00:00"),
            Line("2030-03-18T00:00:00.000", 80, None, 100, 0),
        ),
    ),
    Row(
        "an hour back over midnight",
        "UTC",
        (
            Line("2030-03-18T00:30:00.000", 60, None, 60, 40),
            Line("2030-03-17T23:30:00.000", 40, None, 100, 0),
            Line("2030-03-18T00:00:00.000", 40, None, 100, 0),
        ),
    ),
    Row(
        "the February of a leap year",
        "UTC",
        (
            Line("2032-02-28T12:00:00.000", 60, None, 60, 40),
            Line("2032-02-29T23:59:59.999", 41, "cap:month", 60, 40, lifts="2032-03-01T00:00:00"),
            Line("2032-02-29T23:59:59.999", 40, None, 100, 0),
            Line("2032-03-01T00:00:00.000", 100, None, 100, 0),
        ),
        cap="month",
    ),
    Row(
        "the February of another year, in Berlin",
        "Europe/Berlin",
        (
            Line("2031-02-28T22:59:59.999", 100, None, 100, 0),
            Line("2031-02-28T22:59:59.999", 1, "cap:month", 100, 0, lifts="2031-02-28T23:00:00"),
            Line("2031-02-28T23:00:00.000", 100, None, 100, 0),
        ),
        cap="month",
    ),
    Row(
        "the end of a year",
        "UTC",
        (
            Line("2030-12-01T00:00:00.000", 100, None, 100, 0),
            Line("2030-12-31T23:59:59.999", 1, "cap:month", 100, 0, lifts="2031-01-01T00:00:00"),
            Line("2031-01-01T00:00:00.000", 100, None, 100, 0),
        ),
        cap="month",
    ),
    Row(
        "a clock that comes back from the month after",
        "UTC",
        (
            Line("2031-02-01T00:00:00.000", 100, None, 100, 0),
            Line("2031-01-31T00:00:00.000", 1, "cap:month", 100, 0, lifts="2031-03-01T00:00:00"),
        ),
        cap="month",
    ),
)


@pytest.mark.parametrize("row", TABLE, ids=[row.name for row in TABLE])
def test_what_is_committed_and_free(db: sqlite3.Connection, row: Row) -> None:
    zone, call = row.zone, make_call(make_running(db))
    for number, line in enumerate(row.lines):
        zone, now = line.zone or zone, at(line.time)
        limits = {"monthly_usd": CAP, "daily": 10 * CAP} if row.cap == "month" else {"daily": CAP}
        policy = make_policy(zone=zone, **limits, **({"rolling_24h_usd": CAP} if row.rolling else {}))

        answer = admit(db, replace(call, hold=MicroUsd(line.hold)), policy, now=now)

        assert (answer.gate if isinstance(answer, Refusal) else None) == line.gate, f"line {number}"
        if isinstance(answer, Refusal):
            assert answer.lifts_at == at(line.lifts), f"line {number}"
        committed = cap_of(db, call, policy, row.cap, now=now).committed
        assert (committed, max(0, CAP - committed)) == (line.committed, line.free), f"line {number}"


@pytest.mark.parametrize("seed", range(12))
def test_no_step_of_the_clock_backward_frees_money_and_no_day_passes_its_cap(db: sqlite3.Connection, seed: int) -> None:
    """Whatever the order of calls and of hours and days, forward and back: each cap is looked at before and after."""
    chance = random.Random(seed)
    policy = make_policy(zone="Europe/Berlin", daily=CAP, hourly_usd=60, rolling_24h_usd=150, monthly_usd=400)
    call = make_call(make_running(db))
    now = at("2030-03-29T12:00:00")
    names = ("day", "hour", "rolling", "month")
    for _ in range(60):
        admit(db, replace(call, hold=MicroUsd(chance.randint(1, 40))), policy, now=now)
        back = UnixMs(now - chance.choice([1, HOUR_MS, DAY_MS, 3 * DAY_MS, 40 * DAY_MS]))
        for name in names:
            before, after = (cap_of(db, call, policy, name, now=when) for when in (now, back))
            assert after.committed >= before.committed, name
        now = UnixMs(max(NOW, now + chance.choice([1, HOUR_MS, DAY_MS, -1, -HOUR_MS, -DAY_MS])))

    assert all(cost <= CAP for (cost,) in db.execute("SELECT cost FROM spend"))
    before_it = "SELECT sum(counted) FROM charges other WHERE other.held_at BETWEEN one.held_at - ? AND one.held_at"
    widest = f"SELECT max(({before_it})) FROM charges one"
    assert db.execute(widest, (HOUR_MS,)).fetchone()[0] <= 60
    assert db.execute(widest, (DAY_MS,)).fetchone()[0] <= 150


def test_the_day_is_fixed_when_the_hold_is_made(db: sqlite3.Connection) -> None:
    """A zone that is configured later moves nothing: the row keeps its day and its zone."""
    call = make_call(make_running(db))
    admit(db, call, make_policy(zone="Pacific/Kiritimati"), now=at("2030-03-17T12:00:00"))
    admit(db, call, make_policy(zone="America/New_York"), now=at("2030-03-17T12:00:00"))

    assert db.execute("SELECT day, zone FROM charges ORDER BY id").fetchall() == [
        ("2030-03-18", "Pacific/Kiritimati"),
        ("2030-03-17", "America/New_York"),
    ]
    assert day_of(at("2030-03-17T12:00:00"), make_policy(zone="Pacific/Kiritimati").zone) == "2030-03-18"
