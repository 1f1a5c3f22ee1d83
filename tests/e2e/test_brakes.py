"""What holds calls back whatever they cost, in the real programs: rates of failure, limits, pauses, runaways."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from runner.units import DAY_MS, MINUTE_MS
from tests.e2e.vendor import BREAKER, COST, ask, burnt, house, spent
from tests.e2e.world import World, eventually
from tests.upstream import FakeAnthropic, Reply

RATE = f"rate:{BREAKER}"


def waiting(afk: World, gate: str) -> int:
    return int(afk.one("SELECT count(*) FROM jobs WHERE status = 'pending' AND waiting_gate = ?", gate))


def test_an_upstream_that_fails_every_second_call_is_left_alone(afk: World, vendor: FakeAnthropic) -> None:
    """It never fails five times in a row, and forty calls of it would all go through."""
    vendor.script(*(Reply.error(500) if number % 2 else Reply.ok() for number in range(40)))
    house(afk, vendor, workers=1, breaker='rate_window = "10m"')
    ask(afk, 20)
    afk.start()

    eventually(lambda: waiting(afk, f"breaker:{BREAKER}") + afk.counts().get("done", 0) == 20)

    assert len(vendor.requests) == 10
    (listed,) = afk.json("breaker")
    assert (listed["state"], listed["failures"]) == ("open", 1)
    assert listed["rate"] == {"calls": 10, "failures": 5, "window_s": 600.0}
    assert listed["reason"] == "5 of 10 calls failed within 10m, HTTP 500 api_error"
    assert 300 <= listed["cooldown_s"] <= 330
    assert afk.status()["alerts"]["open"] == 1


def test_a_wait_of_a_day_is_a_row_and_holds_nobody_up(afk: World, vendor: FakeAnthropic) -> None:
    """The one worker goes on with other work, a restart changes nothing, and a person may lift it."""
    vendor.script(Reply.error(429, "rate_limit_error", headers={"retry-after": "86400"}))
    house(afk, vendor, workers=1)
    asked = ask(afk, 3)
    runner = afk.start()

    eventually(lambda: waiting(afk, RATE) == 3)
    others = ask(afk, 5, task="nothing")
    eventually(lambda: afk.counts() == {"pending": 3, "done": 5})
    until = afk.one("SELECT until FROM rate_pauses WHERE name = ?", BREAKER)
    turns = [at for (at,) in afk.sql("SELECT not_before FROM jobs WHERE status = 'pending' ORDER BY not_before")]
    assert turns[0] == pytest.approx(until, abs=MINUTE_MS)
    assert len(set(turns)) == 3, "they do not all come at once"
    assert until - afk.one("SELECT ended_at FROM charges") == pytest.approx(DAY_MS, abs=MINUTE_MS)
    assert burnt(afk, [*asked, *others]) == dict.fromkeys(others, 1)
    assert len(vendor.requests) == 1
    assert "paused until" in afk.afk("status")

    afk.kill9(runner)
    afk.start()
    (more,) = ask(afk, 1, "--again")
    eventually(lambda: waiting(afk, RATE) == 4)
    assert len(vendor.requests) == 1
    assert "are paused until" in afk.afk("why", more)

    afk.afk("breaker", "reset", BREAKER, "--reason", "the vendor says it was a mistake")
    eventually(lambda: afk.counts() == {"done": 9})
    assert spent(afk) == (4 * COST, 0)


def test_headers_that_say_that_nothing_is_left_pause_the_model(afk: World, vendor: FakeAnthropic) -> None:
    """Before the vendor has to refuse anything; what its headers say beside that means nothing."""
    reset = (datetime.now(UTC) + timedelta(hours=1)).isoformat(timespec="seconds").replace("+00:00", "Z")
    vendor.script(
        Reply(headers={"anthropic-ratelimit-tokens-remaining": "-3", "anthropic-ratelimit-tokens-reset": reset}),
        Reply(headers={"anthropic-ratelimit-tokens-remaining": "0", "anthropic-ratelimit-tokens-reset": "soon"}),
        Reply(headers={"anthropic-ratelimit-tokens-remaining": "0", "anthropic-ratelimit-tokens-reset": reset}),
    )
    house(afk, vendor, workers=1)
    ask(afk, 5)
    afk.start()

    eventually(lambda: waiting(afk, RATE) == 2)

    assert afk.counts() == {"done": 3, "pending": 2}
    assert len(vendor.requests) == 3
    (listed,) = afk.json("breaker")
    assert listed["paused_until"] == reset.replace("Z", ".000Z")
    assert listed["pause_reason"] == "its headers say that no tokens are left"
    assert listed["state"] == "closed"


def test_a_configured_rate_spreads_the_jobs_over_the_minutes(afk: World, vendor: FakeAnthropic) -> None:
    """None is burnt, each gets a turn of its own, and who raises the limit need not wait for it."""
    house(afk, vendor, workers=3, upstream="requests_per_minute = 2")
    keys = ask(afk, 7)
    runner = afk.start()

    eventually(lambda: waiting(afk, "rate:house") == 5 and afk.counts().get("done") == 2)

    assert len(vendor.requests) == 2
    assert list(burnt(afk, keys).values()) == [1, 1], "those that are done"
    held = [at for (at,) in afk.sql("SELECT held_at FROM charges ORDER BY held_at")]
    turns = [at for (at,) in afk.sql("SELECT not_before FROM jobs WHERE status = 'pending' ORDER BY not_before")]
    assert turns == [held[place % 2] + MINUTE_MS * (1 + place // 2) for place in range(5)]

    runner.terminate()
    assert runner.wait(timeout=60) == 0
    settings = afk.home / "afk.toml"
    settings.write_text(settings.read_text().replace("requests_per_minute = 2", "requests_per_minute = 200"))
    afk.start()
    eventually(lambda: afk.counts() == {"done": 7})


def test_too_many_dollars_in_a_minute_trip_the_model(afk: World, vendor: FakeAnthropic) -> None:
    """Every call succeeds and each is cheap; a restart forgets nothing, only a person lifts it."""
    house(afk, vendor, workers=1, breaker='usd_per_minute = "0.012"')
    keys = ask(afk, 5)
    runner = afk.start()
    eventually(lambda: waiting(afk, f"breaker:{BREAKER}") == 2)
    assert len(vendor.requests) == 3
    assert "runaway: $0.015 in a minute, above $0.012" in afk.afk("why", keys[-1])
    afk.kill9(runner)
    afk.start()
    assert [one["state"] for one in afk.status()["breakers"]] == ["open"]
    assert afk.status()["alerts"]["open"] == 1

    afk.afk("breaker", "reset", BREAKER, "--reason", "looked at it")

    eventually(lambda: afk.counts() == {"done": 5})
    assert spent(afk) == (5 * COST, 0)


def test_a_job_that_asks_the_same_again_and_again_trips_the_model(afk: World, vendor: FakeAnthropic) -> None:
    """Over its attempts together, at twenty answers unless configured."""
    house(afk, vendor, workers=1)
    afk.afk("enqueue", "loop", '{"times": 1000}', "--key", "loop")
    afk.start()

    eventually(lambda: waiting(afk, f"breaker:{BREAKER}") == 1)

    assert len(vendor.requests) == 20
    assert "job loop was answered the same request 20 times" in afk.afk("why", "loop")
    assert burnt(afk, ["loop"]) == {}


def test_a_job_whose_requests_are_bad_ends(afk: World, vendor: FakeAnthropic) -> None:
    """It is no fault of the upstream's, and no later attempt would do better."""
    vendor.default = Reply.error(400, "invalid_request_error", "messages: too few")
    house(afk, vendor, workers=1, failures=3)
    afk.afk("enqueue", "loop", '{"times": 1000}', "--key", "loop")
    afk.start()

    eventually(lambda: afk.counts() == {"dead": 1})

    assert len(vendor.requests) == 3
    assert "house refused 3 requests of this job in a row as bad, the last with HTTP 400" in afk.afk("why", "loop")
    assert afk.json("job", "loop")["attempts"] == 1
    assert afk.status()["breakers"] == []
    assert spent(afk) == (0, 0)
