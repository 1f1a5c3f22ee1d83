"""What a person may do about money: raise today's cap, write a hold off. Each is an event that says who."""

from __future__ import annotations

import fcntl
import os
import random
import sqlite3
from collections.abc import Iterator
from zoneinfo import ZoneInfo

import pytest

from runner import upkeep
from runner.commands import Door, money
from runner.commands.money import CAP_GATES
from runner.config import BudgetConfig, Config, TaskConfig, TaskKind
from runner.errors import NotFound, Refused, UsageError
from runner.gate import admission
from runner.gate.admission import Refusal
from runner.home import Home
from runner.redact import Redactor
from runner.store import alerts, charges, leases, raises
from runner.store.db import Database
from runner.store.jobs import Job
from runner.units import DAY_MS, MINUTE_MS, MicroUsd, UnixMs
from runner.work.outcome import Ending
from runner.work.register import Register
from tests.factories import NOW, ManualClock, lease_of, make_charge, make_job, make_running, make_settings

DOLLAR = 1_000_000
MIDNIGHT = 1_900_022_400_000
"""2030-03-18T00:00:00Z."""


@pytest.fixture
def db(home: Home) -> Iterator[sqlite3.Connection]:
    """A database under a cap of one dollar."""
    database = Database.open(home.db, create=True)
    make_settings(database.connection, daily_usd=DOLLAR)
    yield database.connection
    database.close()


@pytest.fixture
def door(home: Home, db: sqlite3.Connection, clock: ManualClock) -> Iterator[Door]:
    opened = Door(home, clock=clock, by="ada@cli")
    yield opened
    opened.close()


def park(db: sqlite3.Connection, gate: str = "cap:day") -> Job:
    """A job that waits for a gate until midnight."""
    job = make_running(db)
    token = lease_of(job).token
    leases.put_back(
        db, id=job.id, token=token, not_before=UnixMs(MIDNIGHT), gate=gate, fact=f"{gate} holds", counted=False
    )
    return job


def waiting(db: sqlite3.Connection) -> dict[str, int]:
    """Jobs that are not due yet, by what they wait for."""
    query = "SELECT waiting_gate, count(*) FROM jobs WHERE status = 'pending' AND not_before > ? GROUP BY 1"
    return dict(db.execute(query, (NOW,)).fetchall())


# --- raising the cap -----------------------------------------------------------------------------------------------


def test_a_raise_is_a_row_and_an_event_and_wakes_what_waited(door: Door, db: sqlite3.Connection) -> None:
    for gate in ("cap:day", "cap:day", "cap:month", "breaker:house/m"):
        park(db, gate)

    raised = door.raise_cap(MicroUsd(2 * DOLLAR), reason="  the release\nneeds it ")

    assert (raised.before, raised.cap, raised.until, raised.woken) == (DOLLAR, 2 * DOLLAR, MIDNIGHT, 2)
    assert not raised.already
    assert db.execute("SELECT day, cap, reason, by, at FROM raises").fetchall() == [
        ("2030-03-17", 2 * DOLLAR, "the release needs it", "ada@cli", NOW)
    ]
    assert waiting(db) == {"cap:month": 1, "breaker:house/m": 1}
    (text,) = db.execute("SELECT text FROM events WHERE event = 'cap.raised'").fetchone()
    assert text == "cap of 2030-03-17 raised from $1.00 to $2.00 by ada@cli: the release needs it"


def test_a_raise_wakes_a_queue_of_any_length(
    door: Door, db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its own transaction no more than a kill can wait for."""
    monkeypatch.setattr(money, "AT_ONCE", 3)
    for _ in range(8):
        park(db)

    assert door.raise_cap(MicroUsd(2 * DOLLAR), reason="tonight").woken == 8
    assert waiting(db) == {}


def test_the_day_of_a_raise_is_the_configured_zones(door: Door, db: sqlite3.Connection, clock: ManualClock) -> None:
    make_settings(db, daily_usd=DOLLAR, timezone="Asia/Tokyo")

    raised = door.raise_cap(MicroUsd(2 * DOLLAR), reason="tonight")

    assert (raised.day, raised.zone, raised.until) == ("2030-03-18", "Asia/Tokyo", MIDNIGHT + 15 * 60 * MINUTE_MS)


def test_the_same_raise_again_changes_nothing(door: Door, db: sqlite3.Connection) -> None:
    door.raise_cap(MicroUsd(2 * DOLLAR), reason="tonight")
    park(db)

    again = door.raise_cap(MicroUsd(2 * DOLLAR), reason="tonight")

    assert (again.already, again.woken) == (True, 0)
    assert db.execute("SELECT count(*) FROM raises").fetchone() == (1,)
    assert db.execute("SELECT count(*) FROM events").fetchone() == (1,)


def test_a_second_raise_goes_on_from_the_first_and_midnight_ends_both(
    door: Door, db: sqlite3.Connection, clock: ManualClock
) -> None:
    door.raise_cap(MicroUsd(2 * DOLLAR), reason="tonight")
    assert door.raise_cap(MicroUsd(3 * DOLLAR), reason="still").before == 2 * DOLLAR
    with pytest.raises(Refused, match=r"today's cap is \$3\.00, and a raise to \$2\.50 would lower it"):
        door.raise_cap(MicroUsd(2_500_000), reason="a bit less")

    clock.advance(DAY_MS)
    assert door.raise_cap(MicroUsd(2 * DOLLAR), reason="another day").before == DOLLAR


def test_a_raise_is_taken_back_to_the_configured_cap(door: Door, db: sqlite3.Connection) -> None:
    """Or to anything above it; nobody is woken by that, and no level is told anew."""
    door.raise_cap(MicroUsd(3 * DOLLAR), reason="tonight")
    park(db)

    part = door.raise_cap(MicroUsd(2 * DOLLAR), reason="less will do", may_lower=True)
    whole = door.raise_cap(MicroUsd(DOLLAR), reason="it is done", may_lower=True)

    assert (part.before, part.cap, part.lowered, part.woken) == (3 * DOLLAR, 2 * DOLLAR, True, 0)
    assert (whole.before, whole.cap, whole.lowered) == (2 * DOLLAR, DOLLAR, True)
    assert raises.standing(db, "2030-03-17", over=MicroUsd(DOLLAR)) is None
    assert waiting(db) == {"cap:day": 1}
    texts = [text for (text,) in db.execute("SELECT text FROM events WHERE event = 'cap.lowered' ORDER BY id")]
    assert texts[0] == "cap of 2030-03-17 lowered from $3.00 to $2.00 by ada@cli: less will do"
    assert door.raise_cap(MicroUsd(2 * DOLLAR), reason="after all").woken == 1


def test_a_raise_outlives_a_lower_cap_of_afk_toml_and_is_taken_back_to_it(door: Door, db: sqlite3.Connection) -> None:
    door.raise_cap(MicroUsd(3 * DOLLAR), reason="tonight")
    make_settings(db, daily_usd=DOLLAR // 2)

    back = door.raise_cap(MicroUsd(DOLLAR // 2), reason="no more", may_lower=True)

    assert (back.before, back.cap) == (3 * DOLLAR, DOLLAR // 2)


def test_a_raise_is_not_taken_back_below_what_is_committed(door: Door, db: sqlite3.Connection) -> None:
    """Else the ledger would be over its cap; at it, nothing more is spent until midnight."""
    door.raise_cap(MicroUsd(3 * DOLLAR), reason="tonight")
    make_charge(db, make_running(db), hold=1_400_000, cost=1_400_000)

    with pytest.raises(Refused, match=r"would lower it; today it cannot be less than \$1\.40; "):
        door.raise_cap(MicroUsd(DOLLAR), reason="no more", may_lower=True)

    assert door.raise_cap(MicroUsd(1_400_000), reason="no more", may_lower=True).lowered


@pytest.mark.parametrize(
    ("cap", "reason", "said"),
    [
        (2 * DOLLAR, "", "raising the cap wants a reason"),
        (2 * DOLLAR, " \n\t", "raising the cap wants a reason"),
        (DOLLAR - 1, "why", "would lower it"),
        (0, "why", "would lower it"),
        (100 * DOLLAR + 1, "why", "daily_usd into afk.toml"),
    ],
)
def test_a_raise_that_makes_no_sense_changes_nothing(
    door: Door, db: sqlite3.Connection, cap: int, reason: str, said: str
) -> None:
    park(db)

    with pytest.raises((UsageError, Refused), match=said):
        door.raise_cap(MicroUsd(cap), reason=reason)

    assert db.execute("SELECT (SELECT count(*) FROM raises) + (SELECT count(*) FROM events)").fetchone() == (0,)
    assert waiting(db) == {"cap:day": 1}


def test_a_cap_of_zero_may_be_raised_for_a_day(door: Door, db: sqlite3.Connection) -> None:
    make_settings(db, daily_usd=0)

    assert door.raise_cap(MicroUsd(10 * DOLLAR), reason="only today").before == 0
    with pytest.raises(Refused):
        door.raise_cap(MicroUsd(10 * DOLLAR + 1), reason="only today")


def test_no_cap_is_raised_that_nobody_was_told_of(door: Door, db: sqlite3.Connection) -> None:
    db.execute("DELETE FROM control WHERE key LIKE 'config:%'")

    with pytest.raises(Refused, match="no runner was ever started here"):
        door.raise_cap(MicroUsd(2 * DOLLAR), reason="tonight")


def test_a_raise_arms_the_levels_that_hold_no_more(door: Door, db: sqlite3.Connection) -> None:
    """At 60 of 100 cents two levels were told; of two dollars it is 30 percent, of one and a nickel still 57."""
    make_charge(db, make_running(db), hold=600_000, cost=600_000)
    for key in ("day:2030-03-17:50", "day:2030-03-17:100", "day:2030-03-16:50", "month:2030-03:50"):
        alerts.raise_alert(db, key=f"cap:{key}", level="warn", text="told", now=NOW)

    door.raise_cap(MicroUsd(1_050_000), reason="a nickel")
    assert open_alerts(db) == ["cap:day:2030-03-16:50", "cap:day:2030-03-17:50", "cap:month:2030-03:50"]
    door.raise_cap(MicroUsd(2 * DOLLAR), reason="more")
    assert open_alerts(db) == ["cap:day:2030-03-16:50", "cap:month:2030-03:50"]


def open_alerts(db: sqlite3.Connection) -> list[str]:
    return [key for (key,) in db.execute("SELECT key FROM alerts WHERE closed_at IS NULL ORDER BY key")]


@pytest.mark.parametrize("gate", ["cap:day", "cap:month"])
def test_a_job_refused_just_before_the_raise_does_not_sleep_until_midnight(
    home: Home, door: Door, db: sqlite3.Connection, clock: ManualClock, gate: str
) -> None:
    """Its attempt was still ending when the raise woke those that waited. Another cap's refusal stands."""
    config = Config(zone=ZoneInfo("UTC"), budget=BudgetConfig(daily_usd=MicroUsd(DOLLAR)))
    register = Register(
        config=config,
        tasks={"digest": TaskConfig(name="digest", kind=TaskKind.PROMPT)},
        runner="runner-1",
        redactor=Redactor(()),
        may_claim=lambda: True,
        clock=clock,
        rng=random.Random(1),
    )
    make_job(db)
    (live,) = register.claim(db, 1).found
    clock.advance(1_000)
    door.raise_cap(MicroUsd(2 * DOLLAR), reason="tonight")
    clock.advance(1_000)

    register.close(db, live, Ending(outcome="retry", refusal=refusal(gate)), None)

    due = db.execute("SELECT not_before FROM jobs").fetchone()[0]
    assert due == (clock.now() if gate == "cap:day" else MIDNIGHT)


def refusal(gate: str) -> Refusal:
    return Refusal(
        code="afk_daily_cap",
        status=402,
        kind="billing_error",
        message="refused",
        gate=gate,
        fact="a cap holds",
        lifts_at=UnixMs(MIDNIGHT),
    )


# --- writing a hold off --------------------------------------------------------------------------------------------


def orphan(db: sqlite3.Connection, *, hold: int = 300_000) -> int:
    """A call whose runner died in it, found by the next."""
    charge = make_charge(db, make_running(db, runner="runner-0"), hold=hold, runner="runner-0")
    upkeep.take_back(db, runner="runner-1", now=NOW)
    return charge


def test_a_written_off_hold_counts_no_more_and_who_and_why_are_kept(door: Door, db: sqlite3.Connection) -> None:
    charge = orphan(db)
    parked = park(db)

    gone = door.write_off(charge, reason="the vendor's page shows no such call")

    assert (gone.id, gone.hold) == (charge, 300_000)
    assert charges.spent_since_day(db, "2030-03-17").committed == 0
    (note,) = db.execute("SELECT note FROM charges WHERE id = ? AND state = 'released'", (charge,)).fetchone()
    assert note == "written off by ada@cli: the vendor's page shows no such call"
    (text,) = db.execute("SELECT text FROM events WHERE event = 'hold.written_off'").fetchone()
    assert "$0.30" in text
    assert "it stood because: its runner ended between hold and settle" in text
    assert waiting(db) == {}
    assert db.execute("SELECT not_before FROM jobs WHERE id = ?", (parked.id,)).fetchone() == (NOW,)


def test_the_orphans_of_a_crash_are_one_alert_that_closes_with_the_last(door: Door, db: sqlite3.Connection) -> None:
    calls = [make_charge(db, make_running(db, runner="runner-0"), hold=300_000, runner="runner-0") for _ in range(2)]
    upkeep.take_back(db, runner="runner-1", now=NOW)

    assert db.execute("SELECT key, level FROM alerts").fetchall() == [("orphans:runner-1", "warn")]
    assert "2 calls were in flight" in db.execute("SELECT text FROM alerts").fetchone()[0]
    assert "$0.60" in db.execute("SELECT text FROM alerts").fetchone()[0]
    door.write_off(calls[0], reason="gone")
    assert alerts.counts(db) == (1, 1)
    door.write_off(calls[1], reason="gone")
    assert alerts.counts(db) == (1, 0)


def test_a_start_that_finds_nothing_tells_nothing(db: sqlite3.Connection) -> None:
    make_charge(db, make_running(db), cost=5)

    upkeep.take_back(db, runner="runner-2", now=NOW)

    assert alerts.counts(db) == (0, 0)


def test_a_call_in_flight_is_not_written_off(home: Home, door: Door, db: sqlite3.Connection) -> None:
    """While a runner holds the home; once none does, its calls are nobody's."""
    charge = make_charge(db, make_running(db), hold=300_000)
    lock = os.open(home.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)

    with pytest.raises(Refused, match="in flight"):
        door.write_off(charge, reason="impatient")
    assert charges.spent_since_day(db, "2030-03-17").held == 300_000

    os.close(lock)
    assert door.write_off(charge, reason="its runner is gone").hold == 300_000


@pytest.mark.parametrize("end", ["settled", "written off"])
def test_a_hold_ends_once(door: Door, db: sqlite3.Connection, end: str) -> None:
    charge = orphan(db) if end == "written off" else make_charge(db, make_running(db), cost=5)
    if end == "written off":
        door.write_off(charge, reason="gone")
    before = db.execute("SELECT * FROM charges").fetchall()

    with pytest.raises(Refused, match="holds nothing any more"):
        door.write_off(charge, reason="once more")

    assert db.execute("SELECT * FROM charges").fetchall() == before


def test_what_is_written_off_is_not_settled_later(door: Door, db: sqlite3.Connection) -> None:
    charge = orphan(db)
    door.write_off(charge, reason="gone")

    assert not charges.settle(db, charge, cost=MicroUsd(5), usage="{}", now=NOW)


@pytest.mark.parametrize(("id", "reason", "error"), [(99, "gone", NotFound), (1, " ", UsageError)])
def test_nothing_is_written_off_without_a_hold_and_a_reason(
    door: Door, db: sqlite3.Connection, id: int, reason: str, error: type[Exception]
) -> None:
    assert orphan(db) == 1

    with pytest.raises(error):
        door.write_off(id, reason=reason)

    assert charges.spent_since_day(db, "2030-03-17").held == 300_000


def test_the_gates_that_money_lifts_are_those_of_the_caps() -> None:
    """All but a job's own, which ends the job."""
    assert set(CAP_GATES) == set(admission.CAP_GATES) - {"cap:job"}
