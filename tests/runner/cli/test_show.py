"""How things stand, what was spent, what happened."""

from __future__ import annotations

import re
import sqlite3

import pytest

from runner.home import Home
from runner.store import breakers, charges, events, leases, schedules
from runner.store.charges import NewCharge
from runner.store.leases import Lease
from runner.units import MicroUsd, SystemClock, UnixMs, day_of, iso
from tests.runner.cli.world import Afk, bury, queue, start_runner

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def charge(home: Home, db: sqlite3.Connection, *, hold: int, cost: int | None) -> None:
    from zoneinfo import ZoneInfo

    now = SystemClock().now()
    new = NewCharge(
        day=day_of(now, ZoneInfo("Europe/Berlin")),
        zone="Europe/Berlin",
        job_id=1,
        n=1,
        task="digest",
        upstream="up",
        model="m",
        runner="r1",
        hold=MicroUsd(hold),
    )
    id = charges.hold(db, new, now=now)
    if cost is not None:
        charges.settle(db, id, cost=MicroUsd(cost), usage="{}", now=now)


def test_status_of_a_new_home_is_readable(afk: Afk) -> None:
    answer = afk("status")

    assert answer.code == 0
    assert "never started" in answer.out
    assert "stop      not set" in answer.out


def test_status_json_has_the_stable_words(afk: Afk, home: Home, db: sqlite3.Connection) -> None:
    start_runner(db)
    queue(home, db)
    charge(home, db, hold=300_000, cost=None)

    status = afk("status", "--json").json

    words = {"runner", "queue", "spend", "breakers", "stop", "schedules", "drafts", "alerts", "incidents", "drills"}
    assert words <= set(status)
    assert status["queue"]["pending"] == 1
    assert status["spend"]["held_microusd"] == 300_000
    assert status["spend"]["free_microusd"] == 700_000
    assert status["runner"]["state"] == "dead"  # a row says it runs, and nobody holds the lock


def test_status_says_stopped_loudly(afk: Afk) -> None:
    afk("kill", "--reason", "lunch")

    assert re.search(
        r"stop +STOPPED by .*@cli at .* \(file, row\): lunch; `afk-runner resume` lifts it", afk("status").out
    )


def test_spend_shows_settled_and_held(afk: Afk, home: Home, db: sqlite3.Connection) -> None:
    start_runner(db)
    charge(home, db, hold=300_000, cost=120_000)
    charge(home, db, hold=50_000, cost=None)

    spend = afk("spend", "--json").json

    assert spend["today"]["settled_microusd"] == 120_000
    assert spend["today"]["held_microusd"] == 50_000
    assert spend["days"][0]["cost_microusd"] == 170_000
    assert "$0.17 of $1.00, of it $0.05 held, $0.83 free" in afk("spend").out


def test_spend_names_the_calls_whose_hold_stands(afk: Afk, home: Home, db: sqlite3.Connection) -> None:
    queue(home, db, key="k")
    charge(home, db, hold=300_000, cost=120_000)
    charge(home, db, hold=50_000, cost=None)
    charges.let_stand(db, 2, note="ReadTimeout", now=SystemClock().now())
    charge(home, db, hold=20_000, cost=None)

    flying, standing = afk("spend", "--json").json["held_calls"]

    assert (standing["hold_microusd"], standing["note"], standing["job"]) == (50_000, "ReadTimeout", "k")
    assert (flying["hold_microusd"], flying["note"]) == (20_000, None)
    assert "ReadTimeout" in afk("spend").out


def test_an_open_breaker_is_on_the_status(afk: Afk, db: sqlite3.Connection) -> None:
    now = SystemClock().now()
    breakers.trip(db, "up/model", reason="five in a row", retry_at=UnixMs(now + 60_000), now=now)

    assert re.search(r"breaker +up/model open, trial at .*: five in a row", afk("status").out)


def test_schedules_are_listed_with_their_next_time(afk: Afk, db: sqlite3.Connection) -> None:
    schedules.declare(db, name="digest", spec="0 6 * * * Europe/Berlin", now=UnixMs(0))
    schedules.set_next(db, name="digest", at=UnixMs(1_900_000_000_000))

    (row,) = afk("schedules", "--json").json

    assert (row["name"], row["next_at"], row["paused"]) == ("digest", "2030-03-17T17:46:40.000Z", False)
    assert "2030-03-17T17:46:40Z" in afk("schedules").out


def test_logs_can_be_narrowed_down(afk: Afk, home: Home, db: sqlite3.Connection) -> None:
    now = SystemClock().now()
    queue(home, db, key="k")
    events.record(db, now=now, level=events.WARN, event="cap.reached", text="half of it")

    assert [row["event"] for row in afk("logs", "--json").json] == ["job.queued", "cap.reached"]
    assert [row["event"] for row in afk("logs", "--level", "warn", "--json").json] == ["cap.reached"]
    assert [row["job"] for row in afk("logs", "--job", "k", "--json").json] == ["k"]
    assert [row["event"] for row in afk("logs", "-n", "1", "--json").json] == ["cap.reached"]


def test_every_time_in_json_is_utc_with_milliseconds(afk: Afk, home: Home, db: sqlite3.Connection) -> None:
    key = bury(home, db)
    row = afk("job", key, "--json").json

    for moment in (row["created_at"], row["finished_at"], row["attempts_log"][0]["started_at"]):
        assert MOMENT.fullmatch(moment)


def test_a_time_that_was_past_from_the_start_is_said_to_never_come(afk: Afk, db: sqlite3.Connection) -> None:
    past = UnixMs(1_000_000_000_000)
    for name in ("late", "fired"):
        schedules.declare(db, name=name, spec="at 2001-09-09", now=past)
    schedules.take_slot(db, schedule="fired", due_at=past, now=past, job_key="fired@then")

    rows = {line.split()[0]: line for line in afk("schedules").out.splitlines()}

    assert "never: its time was past" in rows["late"]
    assert "never" not in rows["fired"]


@pytest.mark.parametrize("verb", ["jobs", "dead", "schedules", "breaker", "logs"])
def test_an_empty_listing_is_an_empty_list(afk: Afk, verb: str) -> None:
    answer = afk(verb, "--json")

    assert (answer.code, answer.json) == (0, [])
    assert afk(verb).out == ""


def test_a_slot_that_a_clock_ahead_dealt_with_is_not_shown_as_the_last(afk: Afk, db: sqlite3.Connection) -> None:
    now = SystemClock().now()
    past, ahead = UnixMs(now - 60_000), UnixMs(now + 86_400_000)
    schedules.declare(db, name="digest", spec="every 1m", now=past)
    schedules.take_slot(db, schedule="digest", due_at=past, now=past, job_key="digest@then")
    schedules.take_slot(db, schedule="digest", due_at=ahead, now=ahead, skipped="a clock was ahead")

    (row,) = afk("schedules", "--json").json

    assert (row["last_slot"], row["last_skipped"]) == (iso(past), None)
    assert afk("status", "--json").json["schedules"][0]["last_slot"] == iso(past)


def test_a_schedule_whose_job_is_held_back_names_it(afk: Afk, home: Home, db: sqlite3.Connection) -> None:
    """Before its next slot is skipped for that; one that was due just now is nothing to speak of."""
    now = SystemClock().now()
    for name, late_ms in (("digest", 3_600_000), ("sweep", 1_000)):
        due = UnixMs(now - late_ms)
        schedules.declare(db, name=name, spec="every 1d", now=due)
        key = queue(home, db, task=name, key=f"{name}@then")
        schedules.take_slot(db, schedule=name, due_at=due, now=due, job_key=key)

    digest, sweep = afk("schedules").out.splitlines()[1:]

    assert "digest@then has not begun; `afk-runner why digest@then` says what holds it" in digest
    assert "has not begun" not in sweep


def test_a_slot_that_no_runner_deals_with_is_seen(afk: Afk, db: sqlite3.Connection) -> None:
    """With no runner there at all; one that is a little late is nothing to speak of."""
    now = SystemClock().now()
    for name, late_ms in (("digest", 3_600_000), ("triage", 1_000)):
        due = UnixMs(now - late_ms)
        schedules.declare(db, name=name, spec="every 1d UTC", policy="2 at a time", next_at=due, now=due)

    late, fresh = afk("schedules", "--json").json

    assert late["overdue_s"] >= 3_600
    assert (fresh["overdue_s"], fresh["policy"]) == (0, "2 at a time")
    assert "overdue: no runner has dealt with its slot for 1h" in afk("schedules").out
    assert "digest next" in (said := afk("status").out)
    assert said.count("overdue") == 1
    assert afk("status", "--json").json["schedules"][0]["overdue_s"] >= 3_600


def test_status_names_every_paused_task(afk: Afk, db: sqlite3.Connection) -> None:
    """Also one without a schedule that no job waits for."""
    afk("pause", "sweep", "--reason", "the archive is being moved")

    said = afk("status").out

    assert "paused    sweep since" in said
    assert "the archive is being moved; `afk-runner unpause sweep` lifts it" in said


def test_one_is_one(afk: Afk, home: Home, db: sqlite3.Connection) -> None:
    """Numbers in sentences agree with their nouns."""
    key = queue(home, db)
    leases.put_back(
        db,
        id=_claimed(db),
        token="t",
        not_before=UnixMs(SystemClock().now() + 60_000),
        gate="cap:day",
        fact="the cap of the day is reached",
        counted=False,
    )

    assert "1 job for cap:day" in afk("status").out
    assert key in afk("jobs").out


def _claimed(db: sqlite3.Connection) -> int:
    now = SystemClock().now()
    job = leases.claim(db, now=now, lease=Lease(runner="r1", token="t", until=UnixMs(now + 1000)))
    assert job is not None
    return job.id


def test_a_job_whose_wait_is_over_waits_for_no_gate(afk: Afk, home: Home, db: sqlite3.Connection) -> None:
    """Nor does it say on the morning after that the cap is reached."""
    start_runner(db)
    queue(home, db)
    leases.put_back(
        db,
        id=_claimed(db),
        token="t",
        not_before=UnixMs(SystemClock().now() - 1),
        gate="cap:day",
        fact="the cap of the day is reached",
        counted=False,
    )

    said = afk("status").out

    assert "cap:day" not in said
    assert "CAP REACHED" not in said
