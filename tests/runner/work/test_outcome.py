"""What becomes of a job, row by row of the table."""

from __future__ import annotations

import random
from typing import Any

import pytest

from runner.config import RetryConfig
from runner.gate import admission
from runner.gate.admission import Refusal
from runner.store.attempts import Outcome
from runner.store.jobs import JobStatus
from runner.units import UnixMs
from runner.work.outcome import FAR_MS, Cut, Decision, Ending, backoff_ms, decide

NOW = UnixMs(1_000_000)
RETRY = RetryConfig(max_attempts=4, base_ms=1_000, cap_ms=60_000)


def decision(ending: Ending, **known: Any) -> Decision:
    """The decision with everything a test is not about filled in."""
    facts: dict[str, Any] = {
        "attempts": 0,
        "max_attempts": 4,
        "limit_ms": 5_000,
        "on_timeout": "halt",
        "retry": RETRY,
        "now": NOW,
        "rng": random.Random(1),
    }
    return decide(ending, **(facts | known))


def refusal(gate: str, *, lifts_at: int | None = None) -> Refusal:
    return Refusal(
        code="afk",
        status=402,
        kind="billing_error",
        message=f"refused by {gate}",
        gate=gate,
        fact=f"{gate} holds it",
        lifts_at=UnixMs(lifts_at) if lifts_at is not None else None,
    )


def test_done_is_done_whatever_else_happened() -> None:
    """The work is finished: neither a cut that came too late nor an earlier refusal undoes it."""
    for cut in (None, *Cut):
        made = decision(Ending(outcome="done", cut=cut, refusal=refusal("cap:day"), unanswered="no model answered"))
        assert (made.status, made.outcome, made.counted) == (JobStatus.DONE, Outcome.DONE, True)
        assert made.error == "no model answered", "what it had to do without is not kept silent"


@pytest.mark.parametrize("said", ["retry", "dead", "died"])
@pytest.mark.parametrize("cut", [Cut.STOP, Cut.SHUTDOWN, Cut.UNSTARTED])
def test_an_attempt_the_runner_cut_is_not_burnt(said: str, cut: Cut) -> None:
    """It goes back at once, uncounted, with the reason, also when it would have been the last attempt."""
    made = decision(Ending(outcome=said, error="cut", cut=cut), attempts=3)

    assert (made.status, made.outcome, made.counted) == (JobStatus.PENDING, Outcome.SNOOZED, False)
    assert (made.gate, made.not_before) == (cut.value, NOW)
    assert made.fact


def test_a_cancelled_attempt_is_cancelled_and_not_counted() -> None:
    made = decision(Ending(outcome="died", cut=Cut.CANCEL))
    assert (made.status, made.outcome, made.counted) == (JobStatus.CANCELLED, Outcome.CANCELLED, False)


def test_out_of_time_is_halted_or_a_failure_as_the_task_says() -> None:
    halted = decision(Ending(outcome="died", cut=Cut.TIMEOUT))
    again = decision(Ending(outcome="died", cut=Cut.TIMEOUT), on_timeout="retry")
    last = decision(Ending(outcome="died", cut=Cut.TIMEOUT), on_timeout="retry", attempts=3)

    assert (halted.status, halted.outcome, halted.counted) == (JobStatus.HALTED, Outcome.HALTED, True)
    assert "limit of 5s" in (halted.error or "")
    assert (again.status, again.outcome, again.counted) == (JobStatus.PENDING, Outcome.RETRY, True)
    assert last.status is JobStatus.DEAD


def test_a_cap_that_lifts_puts_the_job_back_until_then() -> None:
    """Not burnt, whatever the payload made of the refusal."""
    for said in ("retry", "dead", "died"):
        made = decision(Ending(outcome=said, refusal=refusal("cap:day", lifts_at=NOW + 500)), attempts=3)
        assert (made.status, made.outcome, made.counted) == (JobStatus.PENDING, Outcome.SNOOZED, False)
        assert (made.gate, made.fact, made.not_before) == ("cap:day", "cap:day holds it", NOW + 500)


@pytest.mark.parametrize(
    ("gate", "lifts_at", "until"),
    [
        ("cap:day", NOW - 5, NOW),
        ("stop", None, NOW),
        ("breaker:a/b", None, NOW + FAR_MS),
    ],
)
def test_a_gate_without_a_time_ahead(gate: str, lifts_at: int | None, until: int) -> None:
    """A time gone by is now; a stop is looked at again at once, for no job starts under it anyway."""
    made = decision(Ending(outcome="retry", refusal=refusal(gate, lifts_at=lifts_at)))
    assert (made.status, made.not_before) == (JobStatus.PENDING, until)


def test_the_cap_of_the_job_itself_halts_it() -> None:
    made = decision(Ending(outcome="retry", refusal=refusal("cap:job")))
    assert (made.status, made.outcome, made.counted) == (JobStatus.HALTED, Outcome.HALTED, True)
    assert made.error == "refused by cap:job"


def test_a_call_that_is_refused_for_ever_is_dead() -> None:
    made = decision(Ending(outcome="retry", refusal=admission.unknown_model("gpt-9", "nobody knows it")))
    assert (made.status, made.counted) == (JobStatus.DEAD, True)
    assert "gpt-9" in (made.error or "")


def test_dead_is_dead_at_once_with_its_words() -> None:
    made = decision(Ending(outcome="dead", error="the box is gone"))
    assert (made.status, made.outcome, made.error) == (JobStatus.DEAD, Outcome.DEAD, "the box is gone")


@pytest.mark.parametrize("said", ["retry", "died"])
def test_a_failure_is_tried_again_until_the_last(said: str) -> None:
    """Four attempts, each counted; the fourth is the dead letter."""
    made = [decision(Ending(outcome=said, error="E"), attempts=n) for n in range(4)]

    assert [each.status for each in made] == [JobStatus.PENDING] * 3 + [JobStatus.DEAD]
    assert {each.outcome for each in made} == {Outcome.RETRY}
    assert {each.counted for each in made} == {True}
    assert {each.error for each in made} == {"E"}
    assert all(each.gate == "retry" for each in made[:3])


def test_a_silent_failure_still_has_an_error() -> None:
    assert decision(Ending(outcome="died"), attempts=3).error


def test_a_payload_may_ask_for_a_longer_wait_but_not_for_a_shorter() -> None:
    longer = decision(Ending(outcome="retry", error="E", after_ms=500_000))
    assert longer.not_before == NOW + 500_000
    drawn = decision(Ending(outcome="retry", error="E"), rng=random.Random(5)).not_before
    assert decision(Ending(outcome="retry", error="E", after_ms=1), rng=random.Random(5)).not_before == drawn
    assert drawn is not None
    assert drawn > NOW + 1


def test_the_wait_is_uniform_under_a_ceiling_that_doubles() -> None:
    """Full jitter: the whole of [0, ceiling] is drawn from, up to the cap and never past it."""
    chance = random.Random(3)
    for attempt, ceiling in ((1, 1_000), (2, 2_000), (3, 4_000), (6, 32_000), (7, 60_000), (2_000, 60_000)):
        drawn = [backoff_ms(attempt, retry=RETRY, rng=chance) for _ in range(2_000)]
        assert 0 <= min(drawn) < ceiling * 0.01
        assert ceiling * 0.99 < max(drawn) <= ceiling
        assert ceiling * 0.45 < sum(drawn) / len(drawn) < ceiling * 0.55
