"""The caps on a real ledger: how they compose, which one is named, when it lifts, and what a look at them costs."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from runner.gate import caps
from runner.gate.admission import RECHECK_MS
from runner.gate.call import Call
from runner.store import charges, raises
from runner.store.db import Database
from runner.store.raises import Raise
from runner.units import DAY_MS, HOUR_MS, MINUTE_MS, MicroUsd, UnixMs
from tests.factories import NOW, make_charge, make_running
from tests.runner.gate.books import admit, at, held, make_call, make_policy, refused, settle

BERLIN_MIDNIGHT = at("2030-03-17T23:00:00")
UTC_MIDNIGHT = at("2030-03-18T00:00:00")


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    database = Database.open(tmp_path / "agent.db", create=True)
    yield database.connection
    database.close()


def spend(db: sqlite3.Connection, call: Call, amount: int, *, now: UnixMs = NOW) -> None:
    """Have a call cost so much, whatever the caps say."""
    make_charge(
        db,
        make_running(db, task=call.task),
        day=caps.day_of(now, make_policy().zone),
        hold=amount,
        cost=amount,
        held_at=now,
    )


ALL = {"hourly_usd": 1_000, "rolling_24h_usd": 2_000, "monthly_usd": 5_000}


@pytest.mark.parametrize(
    ("name", "limits", "job_caps", "lifts_at"),
    [
        ("day", {**ALL, "daily": 100}, {}, UTC_MIDNIGHT),
        ("hour", {**ALL, "daily": 1_000, "hourly_usd": 100}, {}, NOW - 5 * MINUTE_MS + HOUR_MS + 1),
        ("rolling", {**ALL, "daily": 1_000, "rolling_24h_usd": 100}, {}, NOW - 5 * MINUTE_MS + DAY_MS + 1),
        ("month", {**ALL, "daily": 1_000, "monthly_usd": 100}, {}, at("2030-04-01T00:00:00")),
        ("task", {**ALL, "daily": 1_000}, {"task_cap": 100, "job_cap": 500}, UTC_MIDNIGHT),
        ("job", {**ALL, "daily": 1_000}, {"task_cap": 500, "job_cap": 100}, None),
    ],
)
def test_each_cap_holds_to_the_micro_dollar_and_says_what_it_has_and_when_it_lifts(
    db: sqlite3.Connection, name: str, limits: dict[str, int], job_caps: dict[str, int], lifts_at: int | None
) -> None:
    """All the others are there and have room."""
    policy, call = make_policy(**limits), make_call(make_running(db), hold=60, **job_caps)
    settle(db, held(admit(db, call, policy, now=UnixMs(NOW - 5 * MINUTE_MS))), call, 60)

    answer = refused(admit(db, replace(call, hold=MicroUsd(41)), policy))

    assert (answer.gate, answer.lifts_at) == (f"cap:{name}", lifts_at)
    assert "of $0.0001 holds: $0.00006 is spent or held and this call may cost $0.000041" in answer.message
    assert held(admit(db, replace(call, hold=MicroUsd(40)), policy))


def test_of_several_full_caps_the_one_that_lifts_last_is_named(db: sqlite3.Connection) -> None:
    """A job that waits for it wakes once; the one that never lifts for this job goes before all."""
    policy = make_policy(daily=100, hourly_usd=100, rolling_24h_usd=100, monthly_usd=100)
    call = make_call(make_running(db), hold=1)
    spend(db, call, 100)

    assert refused(admit(db, call, make_policy(daily=100, hourly_usd=100))).gate == "cap:day"
    assert refused(admit(db, call, make_policy(daily=100, hourly_usd=100, rolling_24h_usd=100))).gate == "cap:rolling"
    assert refused(admit(db, call, policy)).gate == "cap:month"
    assert refused(admit(db, replace(call, job_cap=MicroUsd(0)), policy)).gate == "cap:job"


def test_a_call_passes_all_caps_or_holds_nothing(db: sqlite3.Connection) -> None:
    """Room under five of six is not enough, and the five keep their room."""
    call = make_call(make_running(db), hold=50, task_cap=10)

    refused(admit(db, call, make_policy(daily=100, hourly_usd=100)))

    assert db.execute("SELECT count(*) FROM charges").fetchone() == (0,)
    assert held(admit(db, replace(call, task_cap=None), make_policy(daily=50, hourly_usd=50)))


def test_the_day_is_the_configured_zones_and_people_are_told_in_it(db: sqlite3.Connection) -> None:
    policy, call = make_policy(zone="Europe/Berlin"), make_call(make_running(db), hold=100)
    held(admit(db, call, policy))

    answer = refused(admit(db, call, policy))

    assert answer.lifts_at == BERLIN_MIDNIGHT
    assert "it lifts at 00:00 on 2030-03-18 in Europe/Berlin" in answer.fact
    assert "at 2030-03-17T23:00:00.000Z, which is 00:00 on 2030-03-18 in Europe/Berlin" in answer.message
    assert answer.message.count("it lifts") == 1


def test_money_held_for_other_jobs_calls_in_flight_is_looked_at_again_soon(db: sqlite3.Connection) -> None:
    """Bounds are several times the cost: what is in flight alone must not park a queue until midnight."""
    other, call = make_call(make_running(db), hold=90), make_call(make_running(db), hold=50)
    charge = held(admit(db, other))

    answer = refused(admit(db, call))

    assert (answer.gate, answer.lifts_at) == ("cap:day", NOW + RECHECK_MS)
    assert "$0.00009 of it is held for calls in flight" in answer.fact
    settle(db, charge, other, 5)
    assert held(admit(db, call, now=UnixMs(NOW + RECHECK_MS)))


@pytest.mark.parametrize("why", ["it ended without a cost", "it is the job's own"])
def test_what_no_call_in_flight_will_free_waits_for_midnight(db: sqlite3.Connection, why: str) -> None:
    """A job whose own parallel calls do not fit would pay for the first of them again every minute."""
    call = make_call(make_running(db), hold=90)
    charge = held(admit(db, call))
    if why == "it ended without a cost":
        charges.let_stand(db, charge, note="nobody knows", now=NOW)
        call = make_call(make_running(db), hold=90)

    assert refused(admit(db, call)).lifts_at == UTC_MIDNIGHT


def test_a_raise_counts_from_the_very_next_call_until_midnight(db: sqlite3.Connection) -> None:
    policy, call = make_policy(), make_call(make_running(db), hold=100)
    held(admit(db, call, policy))
    refused(admit(db, call, policy))

    raises.add(db, Raise(day="2030-03-17", cap=MicroUsd(250), reason="tonight", by="ada", at=NOW))

    held(admit(db, call, policy))
    assert "cap of $0.00025" in refused(admit(db, call, policy)).message
    held(admit(db, call, policy, now=UTC_MIDNIGHT))
    assert "cap of $0.0001 " in refused(admit(db, call, policy, now=UTC_MIDNIGHT)).message


def test_a_configured_cap_above_the_raise_is_not_lowered_by_it(db: sqlite3.Connection) -> None:
    """Somebody raised it, and then wrote a higher one into the file."""
    raises.add(db, Raise(day="2030-03-17", cap=MicroUsd(250), reason="tonight", by="ada", at=NOW))

    assert held(admit(db, make_call(make_running(db), hold=300), make_policy(daily=300)))


def test_a_raise_of_the_day_lifts_no_other_cap(db: sqlite3.Connection) -> None:
    call = make_call(make_running(db), hold=60)
    raises.add(db, Raise(day="2030-03-17", cap=MicroUsd(1_000), reason="tonight", by="ada", at=NOW))
    held(admit(db, call, make_policy(monthly_usd=100)))

    assert refused(admit(db, call, make_policy(monthly_usd=100))).gate == "cap:month"


@pytest.mark.parametrize(("gate", "limits"), [("cap:day", {"daily": 50}), ("cap:hour", {"hourly_usd": 50})])
def test_a_cap_lowered_below_what_is_committed_leaves_calls_in_flight(
    db: sqlite3.Connection, gate: str, limits: dict[str, int]
) -> None:
    """They settle as they would have; new ones are refused, the smallest too."""
    call = make_call(make_running(db), hold=80)
    charge = held(admit(db, call))
    small = make_call(make_running(db), hold=1)

    assert refused(admit(db, small, make_policy(**limits))).gate == gate
    settle(db, charge, call, 80)

    assert charges.spent_since_day(db, "2030-03-17").settled == 80
    assert refused(admit(db, small, make_policy(**limits))).gate == gate


def steps(db: sqlite3.Connection, act: Callable[[], object]) -> int:
    """Instructions SQLite runs for `act`: the same on every machine."""
    count = 0

    def step() -> int:
        nonlocal count
        count += 1
        return 0

    db.set_progress_handler(step, 1)
    try:
        act()
    finally:
        db.set_progress_handler(None, 0)
    return count


PAST = """
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
INSERT INTO charges (day, zone, held_at, job_id, n, task, upstream, model, runner, state, hold, cost, ended_at)
SELECT date('2029-01-01', (i % 365) || ' days'), 'UTC', ? - i * 60000, 1, 1, 'digest', 'house', 'model', 'runner-0',
       'settled', 2, 1, 0 FROM n
"""


def test_a_look_at_all_caps_costs_the_same_whatever_the_ledger_has_seen(db: sqlite3.Connection) -> None:
    """Admitted or refused: nothing reads what has left its window."""
    policy = make_policy(daily=10_000, hourly_usd=10_000, rolling_24h_usd=10_000, monthly_usd=1_000_000)
    call = make_call(make_running(db), hold=10, task_cap=10_000, job_cap=10_000)
    full = make_policy(daily=50, hourly_usd=50, rolling_24h_usd=50, monthly_usd=50)
    for _ in range(5):
        held(admit(db, call, policy))

    def look() -> None:
        caps.composed(db, call, policy, now=NOW)
        caps.composed(db, call, full, now=NOW)

    before = steps(db, look)
    db.execute(PAST, (20_000, NOW - 30 * DAY_MS))

    assert steps(db, look) <= before + 50


@pytest.mark.parametrize(
    ("read", "index"),
    [
        (lambda db: charges.committed_since(db, NOW), "USING INDEX charges_time (held_at>?)"),
        (
            lambda db: charges.last_to_leave(db, NOW, excess=MicroUsd(1)),
            "USING INDEX charges_time (held_at>?)",
        ),
        (lambda db: charges.first_since(db, NOW), "USING INDEX charges_time (held_at>?)"),
        (lambda db: charges.in_flight(db, but_job=0, day="2030-03-17"), "USING INDEX charges_open"),
        (lambda db: charges.spent_since_day(db, "2030-03-17"), "USING PRIMARY KEY (day>?)"),
        (lambda db: charges.last_day_over(db, "2030-03-17", room=0), "USING PRIMARY KEY (day>?)"),
        (lambda db: raises.standing(db, "2030-03-17", over=MicroUsd(0)), "USING INDEX raises_day (day=?)"),
    ],
)
def test_every_question_about_money_goes_by_an_index(
    db: sqlite3.Connection, read: Callable[[sqlite3.Connection], object], index: str
) -> None:
    asked: list[str] = []
    db.set_trace_callback(asked.append)
    read(db)
    db.set_trace_callback(None)
    plan = "\n".join(row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {asked[0]}"))

    assert index in plan, plan
