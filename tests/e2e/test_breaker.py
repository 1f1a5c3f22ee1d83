"""A failing upstream in the real programs: the breaker opens, jobs wait unburnt, one trial decides."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from runner.units import MINUTE_MS
from tests.e2e.clocks import Clocks
from tests.e2e.vendor import BREAKER, COST, ask, burnt, house, spent
from tests.e2e.world import World, eventually
from tests.upstream import FakeAnthropic, Reply

RATE = f"rate:{BREAKER}"


def breaker(afk: World, name: str = BREAKER) -> dict[str, Any]:
    """The one breaker, as `status` tells it."""
    (told,) = afk.status()["breakers"]
    assert told["name"] == name
    return dict(told)


def waiting(afk: World, gate: str = f"breaker:{BREAKER}") -> int:
    """Jobs put back for the breaker."""
    return int(afk.one("SELECT count(*) FROM jobs WHERE waiting_gate = ?", gate))


def test_a_failing_upstream_is_left_alone_until_one_trial_succeeds(afk: World, vendor: FakeAnthropic) -> None:
    """Ten callers wait, one tries, and its success brings all back; a restart in between changes nothing."""
    vendor.default = Reply.error(500)
    house(afk, vendor, workers=4, failures=3, cooldown="5m")
    clocks = Clocks(afk)
    keys = ask(afk, 10)
    runner = afk.start()

    eventually(lambda: waiting(afk) == 10)
    opened = breaker(afk)
    sent = len(vendor.requests)
    assert opened["state"] == "open"
    assert 3 <= sent <= 6  # those in flight when it opened came to their end
    lost = burnt(afk, keys)
    assert sum(lost.values()) == sent  # an answer of the upstream counts, a refusal of the gate does not
    assert "the breaker of house/house-model is open (HTTP 500 api_error)" in afk.afk("why", keys[0])

    afk.kill9(runner)
    release = threading.Event()
    vendor.default = Reply.hang(release)
    afk.start()
    assert breaker(afk) == opened
    assert len(vendor.requests) == sent

    clocks.go_on(8 * MINUTE_MS)
    eventually(lambda: len(vendor.requests) == sent + 1, what="the one trial after the cool-down")
    eventually(lambda: breaker(afk)["state"] == "half_open" and waiting(afk) == 9)
    assert len(vendor.requests) == sent + 1

    release.set()
    eventually(lambda: afk.counts() == {"done": 10})
    assert breaker(afk)["state"] == "closed"
    assert {key: count - 1 for key, count in burnt(afk, keys).items() if count > 1} == lost
    assert spent(afk)[0] == 10 * COST


def test_a_failed_trial_opens_it_for_longer(afk: World, vendor: FakeAnthropic) -> None:
    """A runner killed in the middle of the trial leaves it to the next one."""
    vendor.default = Reply.error(500)
    vendor.script(Reply.error(500), Reply.hang(threading.Event()))
    house(afk, vendor, workers=1, failures=1, cooldown="1s")
    ask(afk, 1)
    runner = afk.start()
    vendor.wait_for(2)
    afk.kill9(runner)
    assert breaker(afk)["state"] == "half_open"

    afk.start()
    vendor.wait_for(3)
    eventually(lambda: breaker(afk)["state"] == "open")
    assert afk.one("SELECT opens FROM breakers") >= 2


def test_a_refused_key_trips_its_upstream_until_a_person_resets_it(afk: World, vendor: FakeAnthropic) -> None:
    """Waiting mends nothing, for no model of the key; the reset wakes the jobs at once."""
    vendor.default = Reply.error(401, "authentication_error", "invalid x-api-key")
    house(afk, vendor, workers=2)
    keys = ask(afk, 5)
    afk.start()

    eventually(lambda: waiting(afk, "breaker:house/*") == 5)
    assert len(vendor.requests) <= 2
    assert burnt(afk, keys) == {}
    assert breaker(afk, "house/*")["retry_at"] is None
    assert afk.status()["alerts"] == {"undelivered": 1, "open": 1}
    assert spent(afk) == (0, 0)

    vendor.default = Reply.ok()
    afk.afk("breaker", "reset", "house/*", "--reason", "a new key is in place")
    eventually(lambda: afk.counts() == {"done": 5})
    assert afk.status()["alerts"]["open"] == 0


def test_a_breaker_tripped_by_hand_lets_nothing_through(afk: World, vendor: FakeAnthropic) -> None:
    house(afk, vendor)
    afk.afk("breaker", "trip", BREAKER, "--reason", "they announced an outage")
    keys = ask(afk, 3)
    afk.start()

    eventually(lambda: waiting(afk) == 3)

    assert vendor.requests == []
    assert burnt(afk, keys) == {}
    assert "they announced an outage" in afk.afk("why", keys[0])


def test_a_rate_limit_puts_the_job_back_unburnt_until_the_time_it_names(afk: World, vendor: FakeAnthropic) -> None:
    """The upstream is not broken, so its breaker knows nothing of it."""
    vendor.script(Reply.error(429, "rate_limit_error", headers={"retry-after": "600"}))
    house(afk, vendor, workers=1)
    clocks = Clocks(afk)
    (key,) = ask(afk, 1)
    afk.start()

    vendor.wait_for(1)
    eventually(lambda: waiting(afk, RATE) == 1)
    why = afk.afk("why", key)
    assert "calls to house/house-model are paused until " in why
    assert "HTTP 429 rate_limit_error" in why
    assert afk.one("SELECT not_before - (SELECT ended_at FROM charges) FROM jobs") == pytest.approx(
        10 * MINUTE_MS, abs=MINUTE_MS
    )

    clocks.go_on(10 * MINUTE_MS)
    eventually(lambda: afk.counts() == {"done": 1})
    assert afk.json("job", key)["attempts"] == 1
    assert [attempt["outcome"] for attempt in afk.json("job", key)["attempts_log"]] == ["snoozed", "done"]
    assert spent(afk) == (COST, 0)
    assert afk.status()["breakers"] == []
