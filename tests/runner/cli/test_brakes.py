"""`afk-runner breaker`: what holds calls back, and the hand that lifts it."""

from __future__ import annotations

import json
import random
import sqlite3

from runner.errors import Exit
from runner.store import alerts, breakers, rate_pauses, tallies
from runner.store.breakers import CoolDown
from runner.units import DAY_MS, UnixMs, iso
from tests.runner.cli.world import Afk

NAME = "offline/extract"
COOL_DOWN = CoolDown(failures=2, first_ms=300_000, longest_ms=300_000)


def test_the_listing_shows_failures_rate_pause_and_cool_down(afk: Afk, db: sqlite3.Connection, now: UnixMs) -> None:
    for charge in range(2):
        tallies.note(db, NAME, now=now, keep_ms=60_000, calls=2, failures=1)
        breakers.failed(db, NAME, charge=charge, reason="HTTP 500", cool_down=COOL_DOWN, now=now, rng=random.Random(1))
    until = UnixMs(now + DAY_MS)
    rate_pauses.pause(db, NAME, until=until, reason="HTTP 429", now=now)

    (row,) = afk("breaker", "--json").json
    line = afk("breaker").out.splitlines()[1]

    assert row["rate"] == {"calls": 4, "failures": 2, "window_s": 60.0}
    assert (row["state"], row["failures"], row["reason"]) == ("open", 2, "HTTP 500")
    assert (row["paused_until"], row["pause_reason"]) == (iso(until), "HTTP 429")
    assert 300 <= row["cooldown_s"] <= 330
    for said in (NAME, "open", "2 of 4 in 1m", "5m", f"{iso(until)}"[:19], "HTTP 429; HTTP 500"):
        assert said in line


def test_a_paused_rate_is_listed_although_nothing_failed(afk: Afk, db: sqlite3.Connection, now: UnixMs) -> None:
    """Until it lifts."""
    rate_pauses.pause(db, NAME, until=UnixMs(now + DAY_MS), reason="HTTP 429", now=now)
    rate_pauses.pause(db, "offline/other", until=UnixMs(now - 1), reason="HTTP 429", now=UnixMs(now - 60_000))

    (row,) = afk("breaker", "--json").json

    assert (row["name"], row["state"], row["failures"]) == (NAME, "closed", 0)
    assert next(told for told in afk("status").out.splitlines() if told.startswith("rate")).endswith(": HTTP 429")


def test_a_reset_lifts_the_pause_closes_the_alerts_and_begins_the_counts_anew(
    afk: Afk, db: sqlite3.Connection, now: UnixMs
) -> None:
    rate_pauses.pause(db, NAME, until=UnixMs(now + DAY_MS), reason="HTTP 429", now=now)
    tallies.note(db, NAME, now=now, keep_ms=60_000, calls=2, failures=1, spent=5)
    alerts.raise_alert(db, key=f"runaway:{NAME}", level="error", text="runaway", now=now)

    assert afk("breaker", "reset", NAME, "--reason", "mended").code == 0

    assert afk("breaker", "--json").json == []
    assert tallies.spent(db, window_ms=60_000, now=now) == {}
    assert afk("status", "--json").json["alerts"] == {"undelivered": 1, "open": 0}
    (event,) = [row for row in afk("logs", "--json").json if row["event"] == "breaker.closed"]
    assert "its rate is paused no more" in event["text"]


def test_a_whole_upstream_is_tripped_and_reset_by_hand(afk: Afk) -> None:
    assert afk("breaker", "trip", "offline/*", "--reason", "the card was stolen").code == 0
    assert json.loads(afk("breaker", "--json").out)[0]["name"] == "offline/*"
    assert afk("breaker", "reset", "offline/*", "--reason", "a new card").code == 0


def test_a_name_that_nothing_has_is_told_the_nearest(afk: Afk, db: sqlite3.Connection, now: UnixMs) -> None:
    """A pause is a name too."""
    rate_pauses.pause(db, NAME, until=UnixMs(now + DAY_MS), reason="HTTP 429", now=now)

    answer = afk("breaker", "reset", "offline/extrakt", "--reason", "r")

    assert answer.code == Exit.REFUSED
    assert f'did you mean "{NAME}"?' in answer.err
