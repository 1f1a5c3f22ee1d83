"""The last day by hour and by model: right whatever was read before, and read once."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from runner import spending
from runner.snapshot import pace
from runner.snapshot.pace import SLICE_MS, Pace
from runner.store import charges, tallies
from runner.store.db import Database
from runner.store.jobs import Job
from runner.units import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, MicroUsd, UnixMs, day_of
from tests.factories import NOW, ManualClock, make_charge, make_job

UTC = ZoneInfo("UTC")


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Outside a transaction every statement commits by itself."""
    opened = Database.open(tmp_path / "afk.db", create=True)
    yield opened.connection
    opened.close()


@pytest.fixture
def job(db: sqlite3.Connection) -> Job:
    return make_job(db, task="digest")


def look(db: sqlite3.Connection, before: Pace | None = None, *, now: int = NOW, most: int = 10_000) -> Pace:
    return pace.pace(db, UTC, before.slices if before else (), now=UnixMs(now), most=most)


def per_hour(found: Pace) -> dict[int, int]:
    return {(one.since - NOW // HOUR_MS * HOUR_MS) // HOUR_MS: one.settled + one.held for one in found.hours}


def test_an_hour_has_what_was_held_in_it(db: sqlite3.Connection, job: Job) -> None:
    make_charge(db, job, cost=5_000, held_at=NOW)
    make_charge(db, job, cost=7_000, held_at=NOW - 3 * HOUR_MS)
    make_charge(db, job, hold=20_000, held_at=NOW - 3 * HOUR_MS)
    make_charge(db, job, cost=9_000, held_at=NOW - 30 * HOUR_MS)

    found = look(db)

    assert len(found.hours) == 24
    assert {hour: amount for hour, amount in per_hour(found).items() if amount} == {0: 5_000, -3: 27_000}
    assert (found.hours[20].settled, found.hours[20].held) == (7_000, 20_000)
    assert found.calls == 2


def test_models_are_of_today_alone(db: sqlite3.Connection, job: Job) -> None:
    """17:46 UTC: 18 hours ago was yesterday."""
    make_charge(db, job, cost=1_000, model="small")
    make_charge(db, job, cost=5_000, model="large", upstream="openai")
    make_charge(db, job, hold=2_000, model="small")
    make_charge(db, job, cost=90_000, model="large", held_at=NOW - 18 * HOUR_MS)

    found = look(db)

    assert [(one.name, one.settled, one.held) for one in found.models] == [
        ("openai/large", 5_000, 0),
        ("anthropic/small", 1_000, 2_000),
    ]


def test_a_day_begins_at_the_midnight_of_its_zone(db: sqlite3.Connection, job: Job) -> None:
    """In Kathmandu, 5:45 ahead, it is 23:31: the day is longer than the hours of the chart."""
    make_charge(db, job, cost=1_000, model="small", held_at=NOW - 23 * HOUR_MS)
    make_charge(db, job, cost=1_000, model="other", held_at=NOW - 24 * HOUR_MS)

    found = pace.pace(db, ZoneInfo("Asia/Kathmandu"), now=NOW)

    assert [one.name for one in found.models] == ["anthropic/small"]


def test_a_slice_that_is_over_is_not_read_again(db: sqlite3.Connection, job: Job) -> None:
    make_charge(db, job, cost=5_000, held_at=NOW - 3 * HOUR_MS)
    make_charge(db, job, cost=5_000, held_at=NOW)
    first = look(db)
    seen: list[str] = []
    db.set_trace_callback(seen.append)

    again = look(db, first)

    db.set_trace_callback(None)
    assert per_hour(again) == per_hour(first)
    assert len([sql for sql in seen if "state = 'settled'" in sql]) <= 2


@pytest.mark.parametrize("way", ["settled", "released", "refined"])
def test_a_call_that_ends_later_changes_the_slice_it_was_held_in(db: sqlite3.Connection, job: Job, way: str) -> None:
    charge = make_charge(db, job, hold=20_000, held_at=NOW - 3 * HOUR_MS)
    first = look(db)
    if way == "settled":
        charges.settle(db, charge, cost=MicroUsd(3_000), usage="{}", now=NOW)
    elif way == "released":
        charges.release(db, charge, note="it never left", now=NOW)
    else:
        charges.refine(db, charge, hold=MicroUsd(8_000))

    assert per_hour(first)[-3] == 20_000
    assert per_hour(look(db, first))[-3] == {"settled": 3_000, "released": 0, "refined": 8_000}[way]


def test_a_long_day_is_read_bit_by_bit_and_comes_to_an_end(db: sqlite3.Connection, job: Job) -> None:
    for number in range(60):
        make_charge(db, job, cost=1_000, held_at=NOW - number * 20 * MINUTE_MS)

    found, looks = look(db, most=10), 1
    first = found
    while found.missing:
        found, looks = look(db, found, most=10), looks + 1

    assert first.missing > 0
    assert looks > 3
    assert per_hour(found) == per_hour(look(db))
    assert sum(per_hour(first).values()) < sum(per_hour(found).values())


def test_a_clock_set_back_hides_nothing(db: sqlite3.Connection, job: Job) -> None:
    make_charge(db, job, cost=1_000, held_at=NOW)
    before = look(db)
    make_charge(db, job, cost=2_000, held_at=NOW - 2 * HOUR_MS)

    found = look(db, before, now=NOW - 2 * HOUR_MS)

    assert found.hours[-1].settled == 3_000


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_between_looks_the_sums_are_those_of_the_ledger(
    db: sqlite3.Connection, job: Job, seed: int
) -> None:
    rng = random.Random(seed)
    clock, known, held = ManualClock(NOW), None, []
    for _ in range(60):
        act = rng.choice(["hold", "hold", "settle", "release", "wait", "wait"])
        if act == "hold":
            held.append(make_charge(db, job, hold=rng.randrange(1, 9_999), held_at=clock.now(), model=rng.choice("ab")))
        elif act == "wait":
            clock.advance(rng.choice([SECOND_MS, MINUTE_MS, SLICE_MS, HOUR_MS]))
        elif held:
            charge = held.pop(rng.randrange(len(held)))
            if act == "settle":
                charges.settle(db, charge, cost=MicroUsd(rng.randrange(9_999)), usage="{}", now=clock.now())
            else:
                charges.release(db, charge, note="no", now=clock.now())
        if rng.random() < 0.7:
            known = look(db, known, now=clock.now())

    found = look(db, known, now=clock.now())

    since = found.hours[0].since
    assert sum(per_hour(found).values()) == charges.committed_since(db, since)
    today = db.execute(
        "SELECT upstream || '/' || model, sum(counted) FROM charges WHERE held_at >= ? GROUP BY 1",
        (NOW - NOW % DAY_MS if clock.now() // DAY_MS == NOW // DAY_MS else clock.now() // DAY_MS * DAY_MS,),
    ).fetchall()
    assert {one.name: one.settled + one.held for one in found.models} == {name: sum for name, sum in today if sum}


def test_tasks_of_today_are_summed_with_the_dearest_first(db: sqlite3.Connection, job: Job) -> None:
    make_charge(db, job, cost=1_000)
    make_charge(db, make_job(db, task="review"), cost=4_000)
    make_charge(db, make_job(db, task="review"), hold=500)
    make_charge(db, make_job(db, task="idle"), cost=0)
    make_charge(db, job, cost=90_000, day=day_of(NOW - DAY_MS, UTC), held_at=NOW - DAY_MS)

    found = pace.by_task(db, UTC, limit=5, now=NOW)

    assert [(one.name, one.settled, one.held) for one in found] == [("review", 4_000, 500), ("digest", 1_000, 0)]


def test_a_window_is_parted_into_settled_and_held(db: sqlite3.Connection, job: Job) -> None:
    make_charge(db, job, cost=1_000)
    make_charge(db, job, hold=500)
    make_charge(db, job, hold=7_000, held_at=NOW - HOUR_MS)
    charges.release(db, make_charge(db, job, hold=300), note="no", now=NOW)

    spent = charges.spent_since(db, UnixMs(NOW - MINUTE_MS))

    assert (spent.settled, spent.held) == (1_000, 500)


def test_holds_are_counted_and_those_that_stand_told_apart(db: sqlite3.Connection, job: Job) -> None:
    make_charge(db, job, hold=100)
    charge = make_charge(db, job, hold=20, held_at=NOW - HOUR_MS)
    charges.let_stand(db, charge, note="the stream broke", now=NOW)

    living, gone = spending.held(db, runner_lives=True), spending.held(db, runner_lives=False)

    assert (living.calls, living.total, living.standing, living.standing_total) == (2, 120, 1, 20)
    assert living.oldest == NOW - HOUR_MS
    assert (gone.standing, gone.standing_total) == (2, 120)
    db.execute("UPDATE charges SET state = 'released', note = 'no', ended_at = 1 WHERE state = 'held'")
    assert spending.held(db, runner_lives=True) == spending.Holds()


def test_names_of_tallies_are_found_without_reading_them_all(db: sqlite3.Connection) -> None:
    for second in range(3):
        for name in ("b/x", "a/y", "a/x"):
            tallies.note(db, name, now=UnixMs(NOW + second * SECOND_MS), keep_ms=MINUTE_MS, calls=1)

    assert tallies.names(db) == ["a/x", "a/y", "b/x"]
    plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {tallies.NAMES}")]
    assert not [step for step in plan if step.startswith("SCAN tallies")]


@pytest.mark.parametrize(
    ("sql", "wanted"),
    [
        (pace.OPEN, "charges_open"),
        (pace.SETTLED, "charges_time (held_at>? AND held_at<?)"),
        (pace.BY_TASK, "PRIMARY KEY (day>?)"),
        (spending.SUMS, "charges_open"),
    ],
)
def test_nothing_is_read_without_its_index(db: sqlite3.Connection, sql: str, wanted: str) -> None:
    values = {"runner_lives": True} if ":runner_lives" in sql else (1,) * sql.count("?")
    plan = " ".join(row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}", values))

    assert wanted in plan
