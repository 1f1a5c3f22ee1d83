"""What waits a moment so that others share its commit, and what never does."""

from __future__ import annotations

from typing import cast

import pytest

from runner.work import pace
from runner.work.attempt import Live
from runner.work.pace import BRISK_S, DRY_S, TOGETHER_S, Pace

DEAR_S = 2 * TOGETHER_S


class Named:
    def __init__(self, name: str) -> None:
        self.name = name


class Attempt:
    """As much of an attempt as the pace looks at."""

    def __init__(self, task: str) -> None:
        self.task = Named(task)
        self.began_at = 0.0


def attempt(task: str = "short") -> Live:
    return cast(Live, Attempt(task))


class Hand:
    """A clock that goes on when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def hand(monkeypatch: pytest.MonkeyPatch) -> Hand:
    made = Hand()
    monkeypatch.setattr(pace.asyncio, "get_running_loop", lambda: made)
    return made


def begun(made: Pace, *lives: Live) -> None:
    for live in lives:
        made.began(live)


def test_the_outcome_of_a_short_attempt_waits_for_another_short_one(hand: Hand) -> None:
    made = Pace()
    one, two = attempt(), attempt()
    begun(made, one, two)
    hand.now += BRISK_S / 3
    assert made.ended(one, [None, two], commit_s=DEAR_S) == TOGETHER_S
    assert made.ended(two, [None, None], commit_s=DEAR_S) == 0.0, "nobody else is expected"


def test_nothing_waits_where_a_commit_costs_less_than_the_wait(hand: Hand) -> None:
    made = Pace()
    one, two = attempt(), attempt()
    begun(made, one, two)
    assert made.ended(one, [two], commit_s=TOGETHER_S / 2) == 0.0


def test_nothing_waits_for_a_task_that_took_long_or_was_never_seen(hand: Hand) -> None:
    made = Pace()
    slow, short, unseen = attempt("slow"), attempt(), attempt("unseen")
    begun(made, slow)
    hand.now += 2 * BRISK_S
    assert made.ended(slow, [], commit_s=DEAR_S) == 0.0
    slow = attempt("slow")
    begun(made, slow, short, unseen)
    assert made.ended(short, [slow, unseen], commit_s=DEAR_S) == 0.0


def test_the_outcome_of_long_work_does_not_wait(hand: Hand) -> None:
    made = Pace()
    short, long = attempt(), attempt("long")
    begun(made, short)
    made.ended(short, [], commit_s=DEAR_S)
    begun(made, long)
    hand.now += 600
    begun(made, short)
    assert made.ended(long, [short], commit_s=DEAR_S) == 0.0


def test_nothing_waits_for_one_that_is_late(hand: Hand) -> None:
    """Its task is a short one, and this time it hangs: it holds up nobody."""
    made = Pace()
    one, late = attempt(), attempt()
    begun(made, one, late)
    hand.now += BRISK_S / 2
    made.ended(one, [], commit_s=DEAR_S)
    hand.now += BRISK_S
    begun(made, one)
    assert made.ended(one, [late], commit_s=DEAR_S) == 0.0


def test_after_the_queue_ran_dry_the_next_claim_waits_a_moment(hand: Hand) -> None:
    made = Pace()
    assert made.claim_at is None, "a job on its own waits for nothing"
    made.dried()
    assert made.claim_at == hand.now + DRY_S
    hand.now += DRY_S
    assert made.claim_at is None
