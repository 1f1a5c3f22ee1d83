"""A cap that is used up to a level is told of once, in the transaction of the call that does it."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from dataclasses import replace

import pytest

from runner.gate.call import Call, Policy
from runner.store import alerts
from runner.store.db import Database
from runner.units import DAY_MS, HOUR_MS, MicroUsd, UnixMs
from tests.factories import NOW, make_running
from tests.runner.gate.books import admit, at, held, make_call, make_policy, refused, settle

MIDNIGHT = at("2030-03-18T00:00:00")


@pytest.fixture
def db(database: Database) -> sqlite3.Connection:
    return database.connection


def told(db: sqlite3.Connection) -> list[str]:
    return [key for (key,) in db.execute("SELECT key FROM alerts ORDER BY id")]


def spend(db: sqlite3.Connection, call: Call, hold: int, policy: Policy | None = None, *, now: UnixMs = NOW) -> int:
    return held(admit(db, replace(call, hold=MicroUsd(hold)), policy, now=now))


def test_each_level_is_told_once_a_day(db: sqlite3.Connection) -> None:
    """The row and the event say which cap, how much and of what; a hold that is given back arms nothing anew."""
    call = make_call(make_running(db))
    spend(db, call, 49)
    assert told(db) == []
    charge = spend(db, call, 1)
    assert told(db) == ["cap:day:2030-03-17:50"]
    settle(db, charge, call, 0)
    spend(db, call, 1)
    spend(db, call, 30)
    spend(db, call, 20)
    refused(admit(db, call))

    keys = [f"cap:day:2030-03-17:{level}" for level in (50, 80, 100)]
    assert told(db) == keys
    assert [row[0] for row in db.execute("SELECT level FROM alerts ORDER BY id")] == ["info", "warn", "error"]
    (text,) = db.execute("SELECT text FROM alerts WHERE key = ?", (keys[1],)).fetchone()
    assert text == ("today's cap of $0.0001 is at 80 %: $0.00008 is spent or held ($0.00008 for calls in flight)")
    assert db.execute("SELECT count(*) FROM events WHERE event = 'cap.level'").fetchone() == (3,)
    assert spend(db, call, 60, now=MIDNIGHT)
    assert told(db)[3:] == ["cap:day:2030-03-18:50"]


def test_a_refusal_is_the_hundredth_percent(db: sqlite3.Connection) -> None:
    """The last cent of a cap is seldom held exactly, and what waits must not wait in silence."""
    call = make_call(make_running(db))
    spend(db, call, 97)
    refused(admit(db, call))

    (text,) = db.execute("SELECT text FROM alerts WHERE key = 'cap:day:2030-03-17:100'").fetchone()
    assert "this call may cost $0.00004; its jobs wait until 2030-03-18T00:00:00.000Z" in text
    assert "`afk-runner spend --raise`" in text


def test_calls_of_other_jobs_in_flight_reach_no_cap(db: sqlite3.Connection) -> None:
    """The refused one is let through in a minute or two, and nobody is woken for it."""
    spend(db, make_call(make_running(db)), 70)
    refused(admit(db, make_call(make_running(db))))

    assert told(db) == ["cap:day:2030-03-17:50"]


def test_a_call_dearer_than_the_cap_alone_is_told_beside_the_levels(db: sqlite3.Connection) -> None:
    """It would wait for ever in silence, and the day may reach its cap all the same."""
    call = make_call(make_running(db))
    refused(admit(db, replace(call, hold=MicroUsd(101))))
    refused(admit(db, call, make_policy(daily=0)))
    assert told(db) == ["cap:day:2030-03-17:alone:100"]
    assert "raise the cap or lower max_tokens" in db.execute("SELECT text FROM alerts").fetchone()[0]

    spend(db, call, 100)
    assert "cap:day:2030-03-17:100" in told(db)


def test_one_call_may_pass_several_levels_of_several_caps(db: sqlite3.Connection) -> None:
    call = make_call(make_running(db), task_cap=90)
    policy = make_policy(hourly_usd=90, rolling_24h_usd=1_000, monthly_usd=120)

    spend(db, call, 85, policy)

    assert told(db) == [
        "cap:day:2030-03-17:50",
        "cap:day:2030-03-17:80",
        "cap:hour:2030-03-17T17:50",
        "cap:hour:2030-03-17T17:80",
        "cap:month:2030-03:50",
        "cap:task:digest:2030-03-17:50",
        "cap:task:digest:2030-03-17:80",
    ]


@pytest.mark.parametrize(
    ("name", "limits", "lapses_at"),
    [
        ("day", {}, MIDNIGHT),
        ("hour", {"hourly_usd": 60}, NOW + HOUR_MS),
        ("rolling", {"rolling_24h_usd": 60}, NOW + DAY_MS),
        ("month", {"monthly_usd": 60}, at("2030-04-01T00:00:00")),
    ],
)
def test_what_a_level_tells_of_is_over_by_itself(
    db: sqlite3.Connection, name: str, limits: dict[str, int], lapses_at: int
) -> None:
    spend(db, make_call(make_running(db)), 50, make_policy(**limits))

    alerts.lapse(db, now=UnixMs(lapses_at - 1))
    query = "SELECT count(*) FROM alerts WHERE key LIKE ? AND closed_at IS NULL"
    assert db.execute(query, (f"cap:{name}:%",)).fetchone()[0] > 0
    alerts.lapse(db, now=UnixMs(lapses_at))
    assert db.execute(query, (f"cap:{name}:%",)).fetchone()[0] == 0


def test_no_level_is_told_where_none_is_wanted(db: sqlite3.Connection) -> None:
    call, policy = make_call(make_running(db)), make_policy(alert_at=())
    spend(db, call, 100, policy)
    refused(admit(db, call, policy))

    assert told(db) == []


def test_a_jobs_own_cap_is_the_jobs_affair(db: sqlite3.Connection) -> None:
    call = make_call(make_running(db), job_cap=40)
    spend(db, call, 40)
    refused(admit(db, call))

    assert told(db) == []


def test_a_call_that_was_not_recorded_told_nothing(database: Database) -> None:
    """What an alert reports and the alert stand or fall together."""
    call = make_call(make_running(database.connection))

    with suppress(ZeroDivisionError), database.write() as db:
        spend(db, call, 90)
        raise ZeroDivisionError

    assert told(database.connection) == []


def test_a_call_that_crosses_nothing_asks_the_database_nothing(db: sqlite3.Connection) -> None:
    call = make_call(make_running(db))
    spend(db, call, 10)
    asked: list[str] = []

    db.set_trace_callback(asked.append)
    spend(db, call, 10)
    db.set_trace_callback(None)

    assert not [statement for statement in asked if "alerts" in statement]
