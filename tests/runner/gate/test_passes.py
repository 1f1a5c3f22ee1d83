"""What is remembered of an attempt's calls, for the decision what becomes of its job."""

from __future__ import annotations

import asyncio

import pytest

from runner.gate import admission
from runner.gate.admission import Cap, Refusal, check_caps
from runner.gate.passes import Pass, Passes
from runner.units import MicroUsd
from tests.factories import NOW


@pytest.fixture
def granted() -> Pass:
    return Pass(
        job_id=1,
        job="digest-1",
        n=1,
        task="digest",
        lease="lease-1",
        runner="runner-1",
        job_cap=None,
        task_cap=None,
        max_output_tokens=None,
    )


def capped(name: str) -> Refusal:
    cap = Cap(name=name, limit=MicroUsd(0), committed=MicroUsd(0), lifts_at=None)
    refusal = check_caps([cap], hold=MicroUsd(1), now=NOW)
    assert refusal is not None
    return refusal


@pytest.mark.parametrize("refusal", [capped("day"), admission.stopped(None), admission.ledger_unusable("x", now=NOW)])
def test_a_gate_that_lifts_stays_noted_when_another_call_is_answered(granted: Pass, refusal: Refusal) -> None:
    """Of calls side by side one may pass where another was refused: the attempt is not to be burnt for it."""
    granted.refused(refusal)
    granted.answered()

    assert granted.refusal is refusal


@pytest.mark.parametrize("refusal", [capped("job"), admission.unknown_model("m", "why"), admission.unbounded("why")])
def test_what_ends_a_job_is_forgotten_when_it_was_got_round(granted: Pass, refusal: Refusal) -> None:
    """A payload that falls back to a model that answers has not met its end."""
    granted.refused(refusal)
    granted.answered()

    assert granted.refusal is None


def test_an_attempt_none_of_whose_calls_was_answered_says_so(granted: Pass) -> None:
    """One that made none, or got a single answer, has nothing to say."""
    assert granted.unanswered is None

    granted.asked = 1
    granted.refused(capped("day"))
    alone = granted.unanswered
    granted.asked = 2
    together = granted.unanswered
    granted.served = 1

    assert (alone or "").startswith("its one model call got no answer: today's cap of $0.00 holds")
    assert (together or "").startswith("none of its 2 model calls got an answer, the last one: today")
    assert granted.unanswered is None


async def test_a_pass_is_good_until_it_is_revoked_and_its_calls_are_cut_once(granted: Pass) -> None:
    """A second cancel would break into the closing of a connection that the first one began."""
    passes, closing, closed = Passes(), asyncio.Event(), asyncio.Event()

    async def call() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            closing.set()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            closed.set()

    passes.issue(granted)
    assert passes.of(granted.token) is granted
    task = asyncio.ensure_future(call())
    granted.calls.add(task)
    await asyncio.sleep(0)

    passes.revoke(granted)
    await closing.wait()
    passes.revoke(granted)
    await asyncio.wait([task])

    assert closed.is_set()
    assert granted.revoked
    assert passes.of(granted.token) is None


def test_a_token_is_in_no_repr(granted: Pass) -> None:
    assert granted.token not in repr(granted)
