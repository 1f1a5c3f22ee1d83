"""What holds calls back whatever they cost: breakers, rates and runaways, on a real database."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from runner.commands import Door
from runner.gate import brakes, ledger
from runner.gate.admission import Refusal
from runner.gate.call import Call, Policy, RateLimit, Runaway
from runner.gate.usage import Usage
from runner.gate.verdict import Blow, Money, Verdict, held, of_status, of_stream_error, of_transport, released
from runner.home import Home
from runner.store import breakers, leases, rate_pauses
from runner.store.breakers import BreakerState, CoolDown
from runner.store.db import Database
from runner.store.jobs import Job
from runner.units import DAY_MS, HOUR_MS, MINUTE_MS, MicroUsd, UnixMs
from tests.factories import NOW, ManualClock, lease_of, make_job, make_running
from tests.runner.gate.test_ledger import gate_of, make_call, make_policy

MODEL, UPSTREAM = "house/house-model", "house/*"
COOL_DOWN = CoolDown(failures=5, first_ms=60_000, longest_ms=600_000, rate_percent=50, rate_calls=10)
FAILURE = Verdict(money=Money.STAND, blow=Blow.FAILURE, note="HTTP 500")


class Gate:
    """The ledger as the gate uses it, on a clock moved by hand."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = ManualClock()
        self.policy = replace(make_policy(daily=10**9), cool_down=COOL_DOWN)
        self.database = Database.open(path, create=True)
        self.job = make_running(self.db)

    @property
    def db(self) -> sqlite3.Connection:
        return self.database.connection

    def restart(self) -> None:
        """Everything that was only remembered is gone."""
        self.database.close()
        self.database = Database.open(self.path)

    def call(self, job: Job | None = None, **fields: Any) -> Call:
        return replace(make_call(job or self.job, hold=1_000), **fields)

    def ask(self, call: Call | None = None) -> int | Refusal:
        """Admit a call, and no more."""
        with self.database.write() as db:
            return ledger.admit(db, call or self.call(), self.policy, stop_reason=None, now=self.clock.now())

    def settle(self, charge: int, call: Call | None = None, *, cost: int = 10, **tokens: int) -> None:
        usage = Usage(model="house-model", **{"input": 1, "output": 1, **tokens})
        with self.database.write() as db:
            ledger.settle(
                db, charge, call or self.call(), self.policy, cost=MicroUsd(cost), usage=usage, now=self.clock.now()
            )

    def conclude(self, charge: int, verdict: Verdict, call: Call | None = None) -> None:
        with self.database.write() as db:
            ledger.conclude(
                db, charge, call or self.call(), self.policy, verdict, now=self.clock.now(), rng=random.Random(1)
            )

    def succeed(self, call: Call | None = None, *, cost: int = 10) -> str | None:
        """A call that is answered; the gate that refused it, if one did."""
        answer = self.ask(call)
        if isinstance(answer, int):
            self.settle(answer, call, cost=cost)
        return gate_of(answer)

    def fail(self, verdict: Verdict = FAILURE, call: Call | None = None) -> str | None:
        """A call that ends as the verdict says; the gate that refused it, if one did."""
        answer = self.ask(call)
        if isinstance(answer, int):
            self.conclude(answer, verdict, call)
        return gate_of(answer)

    def state(self, name: str = MODEL) -> str:
        breaker = breakers.get(self.db, name)
        return breaker.state.value if breaker else "closed"

    def told(self, event: str) -> int:
        return int(self.db.execute("SELECT count(*) FROM events WHERE event = ?", (event,)).fetchone()[0])

    def alerts(self) -> dict[str, bool]:
        """Key of every alert, and whether what it tells of still holds."""
        return {key: closed is None for key, closed in self.db.execute("SELECT key, closed_at FROM alerts ORDER BY id")}

    def park(self, refusal: Refusal) -> None:
        """One more job that waits for what the refusal names."""
        job = make_running(self.db)
        leases.put_back(
            self.db,
            id=job.id,
            token=lease_of(job).token,
            not_before=refusal.lifts_at or self.clock.now(),
            gate=refusal.gate,
            fact=refusal.fact,
            counted=False,
        )


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    made = Gate(tmp_path / "agent.db")
    yield made
    made.database.close()


def refused(answer: int | Refusal) -> Refusal:
    assert isinstance(answer, Refusal)
    return answer


def admitted(answer: int | Refusal) -> int:
    assert isinstance(answer, int), answer
    return answer


# --- which end counts ---------------------------------------------------------------------------------------------

CLOSED, OPEN, TRIPPED, PAUSED = "closed", "open", "tripped", "paused"


def status(code: int, **headers: str) -> Verdict:
    return of_status(code, b"{}", {name.replace("_", "-"): value for name, value in headers.items()}, now=NOW)


@pytest.mark.parametrize(
    ("verdict", "becomes"),
    [
        (status(500), OPEN),
        (status(502), OPEN),
        (status(503), OPEN),
        (status(504), OPEN),
        (status(529), OPEN),
        (of_transport(httpx.ConnectError("no route"), sent=False), OPEN),
        (of_transport(httpx.ReadTimeout("silence"), sent=True), OPEN),
        (of_stream_error("overloaded_error"), OPEN),
        (of_stream_error("api_error"), OPEN),
        (status(429, retry_after="7"), PAUSED),
        (status(401), TRIPPED),
        (status(402), TRIPPED),
        (status(403), TRIPPED),
        (
            of_status(429, b'{"error": {"details": {"error_code": "enforced_spend_limit_reached"}}}', {}, now=NOW),
            TRIPPED,
        ),
        (of_status(400, b'{"error": {"message": "Your credit balance is too low"}}', {}, now=NOW), TRIPPED),
        (status(400), CLOSED),
        (status(404), CLOSED),
        (status(413), CLOSED),
        (status(422), CLOSED),
        (status(408), CLOSED),
        (status(409), CLOSED),
        (held("cut in flight"), CLOSED),
        (released("not sent: afk_stopped"), CLOSED),
        (of_stream_error("invalid_request_error"), CLOSED),
    ],
    ids=lambda given: given.note[:60] if isinstance(given, Verdict) else given,
)
def test_an_end_counts_as_the_table_says(gate: Gate, verdict: Verdict, becomes: str) -> None:
    """Twenty of them in a row, as far as they are let through."""
    refusals = [gate.fail(verdict) for _ in range(20)]

    gates = {
        CLOSED: [None] * 20,
        OPEN: [None] * 5 + [f"breaker:{MODEL}"] * 15,
        TRIPPED: [None] + [f"breaker:{UPSTREAM}"] * 19,
        PAUSED: [None] + [f"rate:{MODEL}"] * 19,
    }
    assert refusals == gates[becomes]
    assert gate.state() == (OPEN if becomes == OPEN else CLOSED)


def test_our_own_refusals_count_for_nothing(gate: Gate) -> None:
    gate.policy = replace(make_policy(daily=0), cool_down=COOL_DOWN)

    assert [gate.succeed() for _ in range(20)] == ["cap:day"] * 20
    assert breakers.all_of(gate.db) == []
    assert gate.db.execute("SELECT count(*) FROM tallies").fetchone() == (0,)


# --- rates of failure -----------------------------------------------------------------------------------------------


def test_every_second_call_failing_opens_it(gate: Gate) -> None:
    """Five in a row never come; half of ten do, and the words say so."""
    for number in range(40):
        gate.succeed() if number % 2 == 0 else gate.fail()
        gate.clock.advance(1_000)

    opened = breakers.get(gate.db, MODEL)
    assert opened is not None
    assert (opened.state, opened.failures) == (BreakerState.OPEN, 1)
    assert opened.reason == "5 of 10 calls failed within 1m, HTTP 500"
    assert opened.changed_at == NOW + 9_000  # at the tenth, the first with which there were enough


@pytest.mark.parametrize(
    ("pattern", "opens"),
    [
        ("xooxooxooxoo", False),  # a third
        ("xoxoxoxox", False),  # nine calls say too little
        ("xoxoxoxoxx", True),
        ("xoxoxoxoox", True),
        ("ooooooooooooooooooxxoxxoxxoxx", False),  # 8 of 29
        ("ooooooxxxxoxxxxoxxxx", True),  # 12 of 20, but never 5 in a row
    ],
)
def test_a_rate_wants_enough_calls_and_enough_failures(gate: Gate, pattern: str, opens: bool) -> None:
    for letter in pattern:
        gate.succeed() if letter == "o" else gate.fail()

    assert gate.state() == ("open" if opens else "closed")


def test_what_is_older_than_the_window_is_forgotten(gate: Gate) -> None:
    """One call in seven seconds is never ten in a minute."""
    for number in range(40):
        gate.succeed() if number % 2 == 0 else gate.fail()
        gate.clock.advance(7_000)

    assert gate.state() == "closed"
    assert gate.db.execute("SELECT count(*) FROM tallies").fetchone()[0] <= 60


def test_a_breaker_that_closed_begins_anew(gate: Gate) -> None:
    """What opened it is still in the window, and does not open it again with the next failure."""
    gate.policy = replace(gate.policy, cool_down=replace(COOL_DOWN, first_ms=1_000))
    for number in range(10):
        gate.succeed() if number % 2 == 0 else gate.fail()
    assert gate.state() == "open"

    gate.clock.advance(2_000)
    gate.succeed()
    assert gate.state() == "closed"
    gate.fail()
    assert gate.state() == "closed"


def test_a_restart_keeps_the_rate(gate: Gate) -> None:
    for number in range(9):
        gate.succeed() if number % 2 == 0 else gate.fail()
    gate.restart()
    assert gate.state() == "closed"

    gate.fail()

    assert gate.state() == "open"


# --- whole upstreams ------------------------------------------------------------------------------------------------


def test_a_refused_key_holds_back_every_model_of_its_upstream(gate: Gate) -> None:
    """Whatever time passes, until a person resets it; another upstream knows nothing of it."""
    gate.fail(status(401))
    gate.clock.advance(30 * DAY_MS)
    gate.restart()

    assert gate.succeed(gate.call(model="another")) == f"breaker:{UPSTREAM}"
    assert gate.succeed(gate.call(upstream="cellar")) is None
    assert refused(gate.ask()).lifts_at is None

    Door(Home(gate.path.parent)).reset(UPSTREAM, reason="a new key")
    assert gate.succeed(gate.call(model="another")) is None
    assert gate.alerts() == {f"breaker:{UPSTREAM}": False}


# --- pauses ---------------------------------------------------------------------------------------------------------


def test_a_limited_rate_is_a_row_until_its_time(gate: Gate) -> None:
    """To the millisecond, over a restart; other models go on, and the breaker knows nothing of it."""
    gate.fail(status(429, retry_after="90"))
    gate.restart()

    refusal = refused(gate.ask())

    assert (refusal.gate, refusal.status, refusal.code) == (f"rate:{MODEL}", 503, "afk_rate")
    assert refusal.lifts_at == NOW + 90_000
    assert refusal.headers() == {"x-should-retry": "false", "retry-after": "Sun, 17 Mar 2030 17:48:10 GMT"}
    assert "2030-03-17T17:48:10.000Z" in refusal.message
    assert gate.succeed(gate.call(model="another")) is None
    gate.clock.advance(89_999)
    assert gate.succeed() == f"rate:{MODEL}"
    gate.clock.advance(1)
    assert gate.succeed() is None
    assert gate.told("rate.paused") == 1
    assert breakers.all_of(gate.db) == []


@pytest.mark.parametrize(
    ("named", "waits_ms"),
    [("0", 1_000), ("1", 1_000), ("86400", DAY_MS), ("999999999", DAY_MS)],
    ids=["nothing", "a second", "a day", "years"],
)
def test_a_pause_is_from_a_second_to_a_day(gate: Gate, named: str, waits_ms: int) -> None:
    gate.fail(status(429, retry_after=named))

    assert refused(gate.ask()).lifts_at == NOW + waits_ms


def test_a_pause_is_made_longer_and_never_shorter(gate: Gate) -> None:
    """Calls in flight come back with times of their own."""
    first, second, third = (admitted(gate.ask()) for _ in range(3))

    for charge, seconds in ((first, "60"), (second, "90"), (third, "5")):
        gate.conclude(charge, status(429, retry_after=seconds))

    assert refused(gate.ask()).lifts_at == NOW + 90_000
    assert gate.told("rate.paused") == 1


def test_a_person_may_lift_a_pause(gate: Gate) -> None:
    gate.fail(status(429, retry_after="86400"))
    waiting = make_job(gate.db)
    gate.db.execute(
        "UPDATE jobs SET waiting_gate = ?, not_before = ? WHERE id = ?", (f"rate:{MODEL}", NOW + DAY_MS, waiting.id)
    )

    Door(Home(gate.path.parent), clock=gate.clock).reset(MODEL, reason="they said it was a mistake")

    assert gate.succeed() is None
    assert gate.db.execute("SELECT not_before, waiting_gate FROM jobs WHERE id = ?", (waiting.id,)).fetchone() == (
        NOW,
        None,
    )


def test_jobs_that_wait_for_the_same_moment_come_one_after_the_other(gate: Gate) -> None:
    gate.fail(status(429, retry_after="60"))

    turns = []
    for _ in range(5):
        refusal = refused(gate.ask())
        turns.append(refusal.lifts_at)
        gate.park(refusal)

    assert turns == [NOW + 60_000 + place * brakes.STEP_MS for place in range(5)]


# --- configured rates -----------------------------------------------------------------------------------------------


def limited(gate: Gate, **limit: int) -> None:
    gate.policy = replace(gate.policy, limits={"house": RateLimit(**limit)})


def test_so_many_requests_go_in_any_minute(gate: Gate) -> None:
    """The next one goes when the oldest is a minute old, to the millisecond; a restart forgets none of them."""
    limited(gate, requests=3)
    for _ in range(3):
        assert gate.succeed() is None
        gate.clock.advance(10_000)
    gate.restart()

    refusal = refused(gate.ask())

    assert (refusal.gate, refusal.lifts_at) == ("rate:house", NOW + MINUTE_MS)
    for said in ("3 requests a minute", "house", "3 were used", "2030-03-17T17:47:40.000Z"):
        assert said in refusal.message
    assert gate.succeed(gate.call(model="another")) == "rate:house"
    assert gate.succeed(gate.call(upstream="cellar")) is None
    gate.clock.advance(29_999)
    assert gate.succeed() == "rate:house"
    gate.clock.advance(1)
    assert gate.succeed() is None
    assert gate.succeed() == "rate:house"


def test_no_minute_holds_more_than_the_limit(gate: Gate) -> None:
    """Not that of the clock: any."""
    limited(gate, requests=7)
    chance, went = random.Random(7), []
    for _ in range(400):
        if gate.succeed() is None:
            went.append(gate.clock.now())
        gate.clock.advance(chance.randint(0, 9_000))

    assert max(sum(at <= other < at + MINUTE_MS for other in went) for at in went) == 7
    assert gate.db.execute("SELECT count(*) FROM rate_uses").fetchone()[0] <= 7


def test_tokens_count_as_bounded_until_they_are_told(gate: Gate) -> None:
    """Those read from a cache are free with the vendors, and here."""
    limited(gate, tokens=1_000)
    call = gate.call(tokens=600)
    charge = admitted(gate.ask(call))

    refusal = refused(gate.ask(call))
    assert refusal.lifts_at == NOW + MINUTE_MS
    for said in ("1,000 tokens a minute", "600 were used", "may take 600"):
        assert said in refusal.message

    gate.settle(charge, call, input=100, output=50, cache_read=9_000)
    second = admitted(gate.ask(call))
    assert gate.succeed(call) == "rate:house"
    gate.conclude(second, held("cut"))
    assert gate.succeed(call) == "rate:house", "a call that told nothing counts its bound"


def test_a_call_larger_than_the_limit_goes_alone(gate: Gate) -> None:
    """Its bound is seldom what it takes, and to refuse it for ever would be no rate."""
    limited(gate, tokens=1_000)
    large = gate.call(tokens=50_000)

    charge = admitted(gate.ask(large))

    assert refused(gate.ask(gate.call(tokens=1))).lifts_at == NOW + MINUTE_MS
    gate.settle(charge, large, input=900, output=99)
    assert gate.succeed(gate.call(tokens=1)) is None
    gate.clock.advance(MINUTE_MS)
    assert gate.succeed(large) is None


def test_whoever_waits_for_a_rate_gets_a_turn_of_his_own(gate: Gate) -> None:
    """As many a minute as the limit lets through: nobody is woken to be refused again."""
    limited(gate, requests=3)
    starts = []
    for _ in range(3):
        starts.append(gate.clock.now())
        gate.succeed()
        gate.clock.advance(5_000)

    callers = [gate.call(make_running(gate.db)) for _ in range(8)]
    turns = [refused(gate.ask(call)).lifts_at for call in callers]

    assert [refused(gate.ask(call)).lifts_at for call in callers] == turns, "who asks again keeps his turn"
    assert turns == [starts[place % 3] + MINUTE_MS * (1 + place // 3) for place in range(8)]
    for turn, call in zip(turns, callers, strict=True):
        gate.clock.advance((turn or 0) - gate.clock.now())
        assert gate.succeed(call) is None
    assert gate.db.execute("SELECT count(*) FROM rate_turns").fetchone() == (0,)


def test_a_turn_far_off_is_looked_at_again_within_the_hour(gate: Gate) -> None:
    limited(gate, requests=1)
    gate.succeed()
    for _ in range(100):
        gate.ask(gate.call(make_running(gate.db)))

    refusal = refused(gate.ask())
    assert refusal.lifts_at == NOW + HOUR_MS
    assert "and 100 jobs wait before it" in refusal.message


def test_a_lowered_limit_waits_for_all_that_is_too_much(gate: Gate) -> None:
    limited(gate, requests=5)
    for _ in range(5):
        gate.succeed()
        gate.clock.advance(1_000)
    limited(gate, requests=2)

    assert refused(gate.ask()).lifts_at == NOW + 3_000 + MINUTE_MS


def test_a_clock_that_was_ahead_blocks_nothing(gate: Gate) -> None:
    limited(gate, requests=1)
    gate.clock.advance(DAY_MS)
    gate.succeed()

    gate.clock.advance(-DAY_MS)

    assert gate.succeed() is None


def test_the_order_is_breaker_then_rate_then_caps(gate: Gate) -> None:
    limited(gate, requests=1)
    gate.succeed()
    gate.policy = replace(gate.policy, budget=make_policy(daily=0).budget)
    assert gate.succeed() == "rate:house"
    rate_pauses.pause(gate.db, MODEL, until=UnixMs(NOW + 1), reason="HTTP 429", now=NOW)
    assert gate.succeed() == f"rate:{MODEL}"
    breakers.trip(gate.db, MODEL, reason="by hand", retry_at=None, now=NOW)
    assert gate.succeed() == f"breaker:{MODEL}"
    breakers.trip(gate.db, UPSTREAM, reason="by hand", retry_at=None, now=NOW)
    assert gate.succeed() == f"breaker:{UPSTREAM}"


def test_a_trial_passes_rate_and_caps_too(gate: Gate) -> None:
    """It is not taken by a call that something else refuses."""
    for _ in range(5):
        gate.fail()
    gate.clock.advance(2 * MINUTE_MS)
    open_policy = gate.policy
    gate.policy = replace(open_policy, budget=make_policy(daily=0).budget)
    assert gate.succeed() == "cap:day"
    assert gate.state() == "open"

    gate.policy = open_policy
    assert gate.succeed() is None
    assert gate.state() == "closed"


# --- runaways -------------------------------------------------------------------------------------------------------


def spending(gate: Gate, **limits: int) -> None:
    usd = limits.pop("usd_per_minute", None)
    runaway = Runaway(usd_per_minute=MicroUsd(usd) if usd is not None else None, **limits)
    gate.policy = replace(gate.policy, runaway=runaway)


def test_more_dollars_than_a_minute_may_cost_trip_the_model(gate: Gate) -> None:
    """At the limit nothing happens; above it only a person lets the model go on, whatever restarts."""
    spending(gate, usd_per_minute=500)
    for _ in range(5):
        assert gate.succeed(cost=100) is None
        gate.clock.advance(13_000)
    assert gate.state() == "closed"
    gate.restart()

    gate.succeed(cost=100)
    assert gate.state() == "closed", "the first of them is more than a minute old"
    gate.succeed(cost=1)

    opened = breakers.get(gate.db, MODEL)
    assert opened is not None
    assert (opened.state, opened.retry_at) == (BreakerState.OPEN, None)
    assert opened.reason == "runaway: $0.000501 in a minute, above $0.0005, of it $0.000501 for house/house-model"
    assert gate.told("call.runaway") == 1
    assert gate.alerts() == {f"runaway:{MODEL}": True}
    gate.clock.advance(DAY_MS)
    assert gate.succeed() == f"breaker:{MODEL}"

    Door(Home(gate.path.parent), clock=gate.clock).reset(MODEL, reason="the loop is mended")
    assert gate.succeed(cost=500) is None
    assert gate.state() == "closed"
    assert gate.alerts() == {f"runaway:{MODEL}": False}


def test_of_several_models_the_one_that_cost_most_is_tripped(gate: Gate) -> None:
    """The next dollar of another does not trip that one too."""
    spending(gate, usd_per_minute=500)
    cheap = gate.call(model="cheap")
    gate.succeed(cost=450)
    gate.succeed(cheap, cost=100)

    assert gate.state() == "open"
    assert gate.state("house/cheap") == "closed"
    assert gate.succeed(cheap, cost=100) is None
    assert gate.state("house/cheap") == "closed"


def test_the_same_request_again_and_again_trips_the_model(gate: Gate) -> None:
    spending(gate, same_request=20)
    same = gate.call(request_hash="a" * 64)
    for _ in range(19):
        assert gate.succeed(same) is None
    gate.restart()
    assert gate.state() == "closed"

    gate.succeed(same)

    opened = breakers.get(gate.db, MODEL)
    assert opened is not None
    assert (opened.state, opened.retry_at) == (BreakerState.OPEN, None)
    assert opened.reason == f"runaway: job {gate.job.key} was answered the same request 20 times within 1h"
    assert gate.alerts() == {f"runaway:{MODEL}": True}


@pytest.mark.parametrize("differs", ["request", "job", "an hour passes", "nothing was answered", "it is switched off"])
def test_what_only_looks_like_a_repetition_does_not(gate: Gate, differs: str) -> None:
    spending(gate, same_request=0 if differs == "it is switched off" else 20)
    for number in range(60):
        call = gate.call(request_hash="a" * 64)
        if differs == "request":
            call = replace(call, request_hash=f"{number:064}")
        elif differs == "job":
            call = gate.call(make_running(gate.db), request_hash="a" * 64)
        elif differs == "an hour passes":
            gate.clock.advance(4 * MINUTE_MS)
        if differs == "nothing was answered":
            gate.fail(status(408), call)
        else:
            gate.succeed(call)

    assert gate.state() == "closed"


def test_the_retries_of_a_job_stay_far_below_the_limit(gate: Gate) -> None:
    """Four attempts that each lose one answer, and each meet a limit and a failure on the way."""
    call = gate.call(request_hash="a" * 64)
    for _ in range(4):
        gate.fail(FAILURE, call)
        gate.fail(status(429, retry_after="1"), call)
        gate.clock.advance(2_000)
        assert gate.succeed(call) is None

    assert gate.state() == "closed"
    assert gate.db.execute("SELECT answers FROM repeats").fetchall() == [(4,)]


# --- alerts and bounds ----------------------------------------------------------------------------------------------


def test_a_breaker_that_closes_wakes_no_more_jobs_than_a_kill_can_wait_for(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest comes due by itself: it was told to look again when the cool-down is over."""
    monkeypatch.setattr(brakes, "WAKE_AT_ONCE", 2)
    for _ in range(5):
        gate.fail()
    for _ in range(3):
        make_job(gate.db)
    later = UnixMs(NOW + 3 * MINUTE_MS)
    gate.db.execute(
        "UPDATE jobs SET waiting_gate = ?, waiting_on = 'x', not_before = ? WHERE status = 'pending'",
        (f"breaker:{MODEL}", later),
    )
    gate.clock.advance(2 * MINUTE_MS)

    gate.succeed()

    due = gate.db.execute("SELECT not_before FROM jobs WHERE status = 'pending' ORDER BY not_before").fetchall()
    assert due == [(gate.clock.now(),), (gate.clock.now(),), (later,)]


def test_a_breaker_is_told_when_it_opens_and_when_it_closes(gate: Gate) -> None:
    """Once each, however often a trial fails in between."""
    for _ in range(3):
        for _ in range(5):
            gate.fail()
        gate.clock.advance(HOUR_MS)
    assert gate.alerts() == {f"breaker:{MODEL}": True}

    assert gate.succeed() is None

    assert gate.alerts() == {f"breaker:{MODEL}": False}
    assert gate.db.execute("SELECT ending, end_text, owed FROM alerts").fetchall() == [
        ("settled", f"{MODEL} answers again, its breaker is closed", 1)
    ]


def test_an_alert_goes_with_the_transaction_that_tells_of_it(gate: Gate) -> None:
    for _ in range(4):
        gate.fail()
    charge = admitted(gate.ask())
    with suppress(ZeroDivisionError), gate.database.write() as db:
        ledger.conclude(db, charge, gate.call(), gate.policy, FAILURE, now=NOW, rng=random.Random(1))
        raise ZeroDivisionError

    assert gate.alerts() == {}
    assert gate.state() == "closed"
    gate.conclude(charge, FAILURE)
    assert gate.alerts() == {f"breaker:{MODEL}": True}


def test_an_answer_dearer_than_its_refined_hold_trips_its_model(gate: Gate) -> None:
    """The refined bound was wrong, even if the first one was not."""
    charge = admitted(gate.ask())
    with gate.database.write() as db:
        ledger.refine(db, charge, hold=MicroUsd(40))

    gate.settle(charge, cost=41)

    assert gate.state() == "open"
    assert gate.alerts() == {f"over_bound:{MODEL}": True}
    assert gate.told("call.over_bound") == 1


def test_policies_of_a_home_hold_what_its_settings_say() -> None:
    """Every setting of the brakes arrives where it is used."""
    from runner.config import BreakerConfig, BudgetConfig, Config, UpstreamConfig
    from runner.gate.call import policy_of
    from tests.runner.gate.test_ledger import UTC_ZONE

    made = policy_of(
        Config(
            zone=UTC_ZONE,
            budget=BudgetConfig(daily_usd=MicroUsd(1)),
            breaker=BreakerConfig(
                failures=2,
                failure_rate=30,
                rate_calls=4,
                rate_window_ms=5_000,
                cooldown_ms=6_000,
                max_cooldown_ms=7_000,
                usd_per_minute=MicroUsd(8),
                same_request=9,
            ),
            upstreams={
                "slow": UpstreamConfig(name="slow", url="http://127.0.0.1", requests_per_minute=10),
                "small": UpstreamConfig(name="small", url="http://127.0.0.1", tokens_per_minute=11),
                "free": UpstreamConfig(name="free", url="http://127.0.0.1"),
            },
        )
    )

    assert made == Policy(
        zone=UTC_ZONE,
        budget=BudgetConfig(daily_usd=MicroUsd(1)),
        cool_down=CoolDown(
            failures=2, first_ms=6_000, longest_ms=7_000, rate_percent=30, rate_calls=4, window_ms=5_000
        ),
        runaway=Runaway(usd_per_minute=MicroUsd(8), same_request=9),
        limits={"slow": RateLimit(requests=10), "small": RateLimit(tokens=11)},
    )
