"""The ledger on a real database: caps hold under any order of events, and totals equal the rows."""

from __future__ import annotations

import random
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from runner.gate import ledger
from runner.gate.admission import Refusal
from runner.gate.call import Call, Policy
from runner.gate.usage import Usage
from runner.gate.verdict import Blow, Money, Verdict
from runner.store import charges, controls, leases
from runner.store.breakers import CoolDown
from runner.store.db import Database
from runner.units import DAY_MS, HOUR_MS, MicroUsd, UnixMs, day_of
from tests.factories import NOW, lease_of, make_running
from tests.runner.gate.books import at, held, make_call, make_policy, settle

UTC_ZONE = ZoneInfo("UTC")
COOL_DOWN = CoolDown(failures=5, first_ms=60_000, longest_ms=600_000)
USAGE = Usage(model="house-model", input=1, output=1)
STANDS = Verdict(money=Money.STAND, blow=Blow.NEUTRAL, note="nobody knows")
FREED = Verdict(money=Money.RELEASE, blow=Blow.NEUTRAL, note="nothing was sold")


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    database = Database.open(tmp_path / "agent.db", create=True)
    yield database.connection
    database.close()


def admit(
    db: sqlite3.Connection, call: Call, policy: Policy | None = None, *, now: UnixMs = NOW, stop: str | None = None
) -> int | Refusal:
    return ledger.admit(db, call, policy or make_policy(), stop_reason=stop, now=now)


def conclude(db: sqlite3.Connection, charge: int, call: Call, verdict: Verdict, *, now: UnixMs = NOW) -> None:
    ledger.conclude(db, charge, call, make_policy(), verdict, now=now, rng=random.Random(1))


def gate_of(answer: int | Refusal) -> str | None:
    """What a call was refused for; None: it was let through."""
    return answer.gate if isinstance(answer, Refusal) else None


def committed(db: sqlite3.Connection, day: str = "2030-03-17") -> tuple[int, int]:
    spend = charges.spent_since_day(db, day)
    return spend.settled, spend.held


def test_the_order_is_stop_then_breaker_then_caps(db: sqlite3.Connection) -> None:
    call = make_call(make_running(db), hold=1_000)
    db.execute(
        "INSERT INTO breakers (name, state, reason, changed_at) VALUES (?, 'open', 'by hand', 0)", (call.breaker,)
    )
    assert gate_of(admit(db, call, stop="a STOP file")) == "stop"
    assert gate_of(admit(db, call)) == f"breaker:{call.breaker}"
    db.execute("DELETE FROM breakers")
    assert gate_of(admit(db, call)) == "cap:day"
    controls.set_stop(db, "yes", reason=None, by="a hand", now=NOW)
    assert gate_of(admit(db, call)) == "stop"
    db.execute("DELETE FROM control WHERE key = 'stop'")
    assert gate_of(admit(db, call)) == "stop"
    assert db.execute("SELECT count(*) FROM charges").fetchone() == (0,)


def test_holds_and_costs_count_and_what_is_freed_does_not(db: sqlite3.Connection) -> None:
    call = make_call(make_running(db), hold=40)
    first, second = held(admit(db, call)), held(admit(db, call))
    assert gate_of(admit(db, call)) == "cap:day"

    settle(db, first, call, 5)
    third = held(admit(db, call))
    conclude(db, second, call, STANDS)
    assert gate_of(admit(db, call)) == "cap:day"
    conclude(db, third, call, FREED)

    assert committed(db) == (5, 40)
    assert held(admit(db, call))


def test_a_charge_ends_once(db: sqlite3.Connection) -> None:
    """The first word counts, and the breaker hears no second one."""
    call = make_call(make_running(db))
    charge = held(admit(db, call))
    failure = Verdict(money=Money.STAND, blow=Blow.TRIP, note="late")

    settle(db, charge, call, 5)
    settle(db, charge, call, 40)
    conclude(db, charge, call, FREED)
    conclude(db, charge, call, failure)

    assert committed(db) == (5, 0)
    assert db.execute("SELECT count(*) FROM breakers").fetchone() == (0,)
    with pytest.raises(sqlite3.IntegrityError):
        db.execute("UPDATE charges SET cost = 0")


def test_an_answer_dearer_than_its_bound_is_charged_in_full_and_trips_the_model(db: sqlite3.Connection) -> None:
    call = make_call(make_running(db), hold=40)
    charge = held(admit(db, call))

    settle(db, charge, call, 95)

    assert committed(db) == (95, 0)
    assert gate_of(admit(db, make_call(make_running(db), hold=1))) == f"breaker:{call.breaker}"
    assert db.execute("SELECT count(*) FROM events WHERE event = 'call.over_bound'").fetchone() == (1,)


def test_a_hold_that_was_refined_frees_the_rest_and_is_never_raised(db: sqlite3.Connection) -> None:
    call = make_call(make_running(db), hold=90)
    charge = held(admit(db, call))
    assert gate_of(admit(db, replace(call, hold=MicroUsd(60)))) == "cap:day"

    assert ledger.refine(db, charge, hold=MicroUsd(40)) is True
    assert ledger.refine(db, charge, hold=MicroUsd(90)) is False

    assert committed(db) == (0, 40)
    second = held(admit(db, replace(call, hold=MicroUsd(60))))
    conclude(db, second, call, STANDS)
    assert ledger.refine(db, second, hold=MicroUsd(1)) is False
    assert committed(db) == (0, 100)


def test_a_lowered_cap_refuses_new_calls_and_leaves_those_in_flight(db: sqlite3.Connection) -> None:
    call = make_call(make_running(db), hold=40)
    charge = held(admit(db, call))
    lower = make_policy(daily=10)

    assert gate_of(admit(db, replace(call, hold=MicroUsd(1)), lower)) == "cap:day"
    settle(db, charge, call, 30)
    assert committed(db) == (30, 0)


@pytest.mark.parametrize(
    ("zone", "before", "after"),
    [
        ("UTC", "2030-03-17T23:59:59.999", "2030-03-18T00:00:00"),
        ("Europe/Berlin", "2030-03-17T22:59:59.999", "2030-03-17T23:00:00"),
        ("Europe/Berlin", "2030-03-31T21:59:59.999", "2030-03-31T22:00:00"),  # the day had 23 hours
        ("Asia/Kathmandu", "2030-03-17T18:14:59.999", "2030-03-17T18:15:00"),
        ("America/New_York", "2030-11-04T04:59:59.999", "2030-11-04T05:00:00"),  # the day had 25 hours
    ],
)
def test_the_day_ends_at_midnight_of_its_zone(db: sqlite3.Connection, zone: str, before: str, after: str) -> None:
    """Not a millisecond earlier, and the refusal names that moment."""
    policy, call = make_policy(zone=zone), make_call(make_running(db), hold=100)
    held(admit(db, call, policy, now=at(before)))

    refused = admit(db, call, policy, now=at(before))

    assert isinstance(refused, Refusal)
    assert refused.lifts_at == at(after)
    assert held(admit(db, call, policy, now=at(after)))


def test_a_call_over_midnight_counts_for_the_day_it_was_held(db: sqlite3.Connection) -> None:
    call = make_call(make_running(db), hold=100)
    charge = held(admit(db, call, now=at("2030-03-17T23:59:00")))

    settle(db, charge, call, 90, now=at("2030-03-18T00:01:00"))

    assert db.execute("SELECT day, cost FROM spend ORDER BY day").fetchall() == [("2030-03-17", 90)]
    assert held(admit(db, call, now=at("2030-03-18T00:02:00")))


def test_a_clock_set_back_a_day_frees_nothing(db: sqlite3.Connection) -> None:
    call = make_call(make_running(db), hold=100)
    held(admit(db, call, now=NOW))

    assert gate_of(admit(db, replace(call, hold=MicroUsd(1)), now=UnixMs(NOW - DAY_MS))) == "cap:day"


def test_another_zone_does_not_move_what_was_spent(db: sqlite3.Connection) -> None:
    """The rows keep the day they were given; a zone that is still on the day before counts them all the same."""
    call = make_call(make_running(db), hold=100)
    held(admit(db, call, make_policy(zone="Pacific/Auckland"), now=at("2030-03-17T12:00:00")))

    assert committed(db, "2030-03-18") == (0, 100)
    assert gate_of(admit(db, call, make_policy(zone="America/New_York"), now=at("2030-03-17T12:00:00"))) == "cap:day"


@pytest.mark.parametrize(
    ("name", "gate", "span"), [("hourly_usd", "hour", HOUR_MS), ("rolling_24h_usd", "rolling", DAY_MS)]
)
def test_a_window_lifts_when_enough_has_left_it(db: sqlite3.Connection, name: str, gate: str, span: int) -> None:
    """To the millisecond, and not before; a midnight within it changes nothing."""
    policy, call = make_policy(daily=10_000, **{name: 100}), make_call(make_running(db), hold=30)
    start = at("2030-03-17T23:30:00")
    for minute in range(3):
        held(admit(db, call, policy, now=UnixMs(start + minute * 60_000)))
    big = replace(call, hold=MicroUsd(70))

    refused = admit(db, big, policy, now=UnixMs(start + 40 * 60_000))

    assert isinstance(refused, Refusal)
    assert refused.gate == f"cap:{gate}"
    assert refused.lifts_at == start + 60_000 + span + 1  # the first two must go
    assert gate_of(admit(db, big, policy, now=UnixMs(refused.lifts_at - 1))) == f"cap:{gate}"
    assert held(admit(db, big, policy, now=refused.lifts_at))


def test_the_months_cap_lifts_with_the_month(db: sqlite3.Connection) -> None:
    policy, call = make_policy(daily=10_000, monthly_usd=100), make_call(make_running(db), hold=100)
    held(admit(db, call, policy, now=at("2030-12-01T00:00:00")))

    refused = admit(db, call, policy, now=at("2030-12-31T23:59:59"))

    assert isinstance(refused, Refusal)
    assert (refused.gate, refused.lifts_at) == ("cap:month", at("2031-01-01T00:00:00"))
    assert held(admit(db, call, policy, now=at("2031-01-01T00:00:00")))


def test_a_tasks_cap_is_its_own(db: sqlite3.Connection) -> None:
    digest, triage = make_running(db, task="digest"), make_running(db, task="triage")
    held(admit(db, make_call(digest, hold=40, task_cap=50)))

    assert gate_of(admit(db, make_call(digest, hold=11, task_cap=50))) == "cap:task"
    assert held(admit(db, make_call(triage, hold=40, task_cap=50)))


def test_a_jobs_cap_counts_all_its_attempts(db: sqlite3.Connection) -> None:
    job = make_running(db)
    call = make_call(job, hold=40, job_cap=60)
    settle(db, held(admit(db, call)), call, 30)

    assert gate_of(admit(db, replace(call, n=2), now=UnixMs(NOW + DAY_MS))) == "cap:job"


def test_only_the_attempt_that_holds_the_lease_may_call(db: sqlite3.Connection) -> None:
    job = make_running(db)
    call = make_call(job)
    leases.put_back(db, id=job.id, token=lease_of(job).token, not_before=NOW, gate="rescue", fact="lost", counted=False)

    refused = admit(db, call)

    assert isinstance(refused, Refusal)
    assert refused.code == "afk_attempt_over"


class LedgerMachine(RuleBasedStateMachine):
    """Whatever happens in whatever order, no day passes its cap and every total equals the sum of its rows."""

    open = Bundle("open")
    cap = 1_000

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.database = Database.open(Path(self.folder.name) / "agent.db", create=True)
        self.db = self.database.connection
        self.db.execute("PRAGMA synchronous = OFF")  # hundreds of runs; durability is not what is looked at
        self.jobs = [make_running(self.db, task=task) for task in ("digest", "digest", "triage")]
        self.now = NOW

    def teardown(self) -> None:
        self.database.close()
        self.folder.cleanup()

    @rule(target=open, which=st.integers(0, 2), hold=st.integers(0, 600))
    def admit(self, which: int, hold: int) -> Any:
        call = make_call(self.jobs[which], hold=hold)
        before = charges.spent_since_day(self.db, day_of(self.now, UTC_ZONE)).committed
        with self.database.write() as db:
            answer = admit(db, call, make_policy(daily=self.cap), now=self.now)
        if isinstance(answer, Refusal):
            assert before + hold > self.cap
            return None
        return answer, call

    @rule(one=consumes(open), part=st.floats(0, 1))
    def settle(self, one: Any, part: float) -> None:
        if one is not None:
            with self.database.write() as db:
                settle(db, one[0], one[1], int(one[1].hold * part), now=self.now)

    @rule(one=open, verdict=st.sampled_from([STANDS, FREED]))
    def conclude(self, one: Any, verdict: Verdict) -> None:
        """Perhaps not for the first time."""
        if one is not None:
            with self.database.write() as db:
                conclude(db, one[0], one[1], verdict, now=self.now)

    @rule()
    def crash(self) -> None:
        """The runner is gone; the next one finds its calls."""
        with self.database.write() as db:
            for charge, _, _ in charges.orphans(db, runner="runner-2"):
                charges.let_stand(db, charge, note="orphan", now=self.now)

    @rule(hold=st.integers(0, 600))
    def fail_in_the_middle(self, hold: int) -> None:
        """A transaction that does not end leaves nothing."""
        with suppress(ZeroDivisionError), self.database.write() as db:
            admit(db, make_call(self.jobs[0], hold=hold), make_policy(daily=self.cap), now=self.now)
            raise ZeroDivisionError

    @rule(by=st.sampled_from([1, HOUR_MS, DAY_MS, -HOUR_MS, -DAY_MS]))
    def move_the_clock(self, by: int) -> None:
        self.now = UnixMs(self.now + by)

    @invariant()
    def no_day_passes_its_cap(self) -> None:
        assert all(cost <= self.cap for _, cost in self.db.execute("SELECT day, cost FROM spend"))

    @invariant()
    def totals_are_the_sums(self) -> None:
        sums = "coalesce(sum(iif(state = 'settled', cost, 0)), 0), coalesce(sum(iif(state = 'held', hold, 0)), 0)"
        rows = self.db.execute(f"SELECT day, task, {sums} FROM charges GROUP BY day, task ORDER BY 1, 2").fetchall()
        assert rows == self.db.execute("SELECT * FROM spend_totals ORDER BY 1, 2").fetchall()
        for job in self.jobs:
            row = self.db.execute(f"SELECT {sums} FROM charges WHERE job_id = ?", (job.id,)).fetchone()
            assert row == self.db.execute("SELECT settled, held FROM jobs WHERE id = ?", (job.id,)).fetchone()
            assert (sum(row),) == self.db.execute("SELECT cost FROM attempts WHERE job_id = ?", (job.id,)).fetchone()


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
