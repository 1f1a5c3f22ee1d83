"""Who may go, and what the refused are told."""

from __future__ import annotations

import json

import pytest

from runner.gate import admission
from runner.gate.admission import RECHECK_MS, Cap, check_breaker, check_caps
from runner.store.breakers import Breaker, BreakerState
from runner.units import HOUR_MS, MicroUsd, UnixMs
from tests.factories import NOW


def make_cap(name: str = "day", *, limit: int = 100, committed: int = 0, lifts_in: int | None = HOUR_MS) -> Cap:
    lifts_at = UnixMs(NOW + lifts_in) if lifts_in is not None else None
    return Cap(name=name, limit=MicroUsd(limit), committed=MicroUsd(committed), lifts_at=lifts_at)


def make_open(
    *,
    state: BreakerState = BreakerState.OPEN,
    retry_in: int | None = 60_000,
    trial: int | None = None,
    trial_for: int | None = None,
) -> Breaker:
    return Breaker(
        name="house/house-model",
        state=state,
        failures=5,
        opens=1,
        retry_at=UnixMs(NOW + retry_in) if retry_in is not None else None,
        trial=trial,
        trial_until=UnixMs(NOW + trial_for) if trial_for is not None else None,
        reason="HTTP 500 api_error",
        changed_at=NOW,
    )


@pytest.mark.parametrize(
    ("committed", "hold", "goes"), [(0, 100, True), (60, 40, True), (60, 41, False), (100, 1, False), (0, 101, False)]
)
def test_a_call_goes_when_it_cannot_pass_the_cap(committed: int, hold: int, goes: bool) -> None:
    refusal = check_caps([make_cap(committed=committed)], hold=MicroUsd(hold), now=NOW)

    assert (refusal is None) is goes


def test_what_costs_nothing_passes_every_cap() -> None:
    assert check_caps([make_cap(limit=0)], hold=MicroUsd(0), now=NOW) is None


def test_a_cap_of_zero_refuses_the_smallest_price() -> None:
    refusal = check_caps([make_cap(limit=0)], hold=MicroUsd(1), now=NOW)

    assert refusal is not None
    assert (refusal.status, refusal.kind, refusal.code) == (402, "billing_error", "afk_daily_cap")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("day", "afk_daily_cap"),
        ("hour", "afk_hourly_cap"),
        ("rolling", "afk_rolling_cap"),
        ("month", "afk_monthly_cap"),
        ("task", "afk_task_cap"),
        ("job", "afk_job_cap"),
    ],
)
def test_a_refusal_names_the_cap_its_numbers_and_when_it_lifts(name: str, code: str) -> None:
    cap = make_cap(name, limit=2_000_000, committed=1_500_000)

    refusal = check_caps([cap], hold=MicroUsd(600_000), now=NOW)

    assert refusal is not None
    assert (refusal.code, refusal.gate, refusal.lifts_at) == (code, f"cap:{name}", NOW + HOUR_MS)
    for said in ("cap", "$2.00", "$1.50", "$0.60", "1h"):
        assert said in refusal.message
    error = json.loads(refusal.body())["error"]
    both = {"param": None, "code": code, "details": {"error_code": code}}
    assert error == {"type": "billing_error", "message": refusal.message, **both}


def test_of_several_caps_the_one_that_lifts_last_is_named() -> None:
    """The job wakes once."""
    caps = [make_cap("day", committed=100, lifts_in=HOUR_MS), make_cap("month", committed=100, lifts_in=9 * HOUR_MS)]

    refusal = check_caps(caps, hold=MicroUsd(1), now=NOW)

    assert refusal is not None
    assert refusal.gate == "cap:month"


def test_the_jobs_own_cap_goes_before_all_others() -> None:
    """It ends the job; waiting for the others would be in vain."""
    refusal = check_caps(
        [make_cap("month", committed=100), make_cap("job", committed=100, lifts_in=None)], hold=MicroUsd(1), now=NOW
    )

    assert refusal is not None
    assert refusal.gate == "cap:job"
    assert refusal.final


def test_a_call_dearer_than_the_cap_alone_is_promised_no_time() -> None:
    """At midnight it would be refused again."""
    refusal = check_caps([make_cap(limit=100)], hold=MicroUsd(101), now=NOW)

    assert refusal is not None
    assert refusal.lifts_at is None
    assert "raise the cap or lower max_tokens; it does not lift by itself, so the job sleeps" in refusal.fact
    assert "max_tokens; it does not lift by itself" in refusal.message
    assert not refusal.final


@pytest.mark.parametrize(
    "breaker",
    [
        None,
        make_open(state=BreakerState.CLOSED),
        make_open(retry_in=0),
        make_open(state=BreakerState.HALF_OPEN, retry_in=-1),
        make_open(state=BreakerState.HALF_OPEN, retry_in=-1, trial=7, trial_for=0),
    ],
    ids=["never failed", "closed", "cool-down over", "trial given back", "trial lost"],
)
def test_a_breaker_lets_through(breaker: Breaker | None) -> None:
    assert check_breaker(breaker, now=NOW) is None


@pytest.mark.parametrize(
    ("breaker", "lifts_in"),
    [
        (make_open(), 60_000),
        (make_open(retry_in=None), None),
        (make_open(state=BreakerState.HALF_OPEN, retry_in=-1, trial=7, trial_for=5_000), 5_000),
        (make_open(state=BreakerState.HALF_OPEN, retry_in=-1, trial=7, trial_for=10 * RECHECK_MS), RECHECK_MS),
    ],
    ids=["cooling down", "tripped by hand", "trial about to be lost", "trial under way"],
)
def test_a_breaker_refuses_and_says_when_to_come_back(breaker: Breaker, lifts_in: int | None) -> None:
    refusal = check_breaker(breaker, now=NOW)

    assert refusal is not None
    assert (refusal.status, refusal.code) == (503, "afk_breaker_open")
    assert refusal.lifts_at == (NOW + lifts_in if lifts_in is not None else None)
    assert "HTTP 500 api_error" in refusal.fact
    assert not refusal.final


def test_no_refusal_is_one_that_clients_try_again() -> None:
    """They go on for minutes after a 401, a bare 429 or a 529."""
    every = [
        admission.stopped(None),
        admission.attempt_over(),
        admission.ledger_unusable("full", now=NOW),
        admission.unknown_model("m", "why"),
        admission.unbounded("why"),
        check_breaker(make_open(), now=NOW),
        check_caps([make_cap(limit=0)], hold=MicroUsd(1), now=NOW),
    ]

    assert {each.status for each in every if each is not None} <= {400, 402, 403, 503}
