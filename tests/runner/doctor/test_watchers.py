"""Who guards the guards, as doctor tells it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace

from runner.config import WatchConfig
from runner.doctor import watchers
from runner.doctor.look import Look
from runner.store import controls, drills
from runner.units import DAY_MS, UnixMs
from tests.runner.doctor.conftest import levels


def test_what_was_never_proven_and_what_was_long_ago_are_named(look: Look) -> None:
    with closing(sqlite3.connect(look.home.db)) as db, db:
        for name in drills.NAMES[1:]:
            age_days = 31 if name == "cap" else 1
            drills.proven(db, name, by="me", version="1", now=UnixMs(look.now - age_days * DAY_MS))

    (found,) = watchers.proofs(look)

    assert (found.level.value, found.text) == ("warn", "not proven in the last 30 days: stop, cap")


def test_what_was_tried_and_not_proven_fails(look: Look) -> None:
    with closing(sqlite3.connect(look.home.db)) as db, db:
        for name in drills.NAMES:
            drills.proven(db, name, by="me", version="1", now=UnixMs(look.now - DAY_MS))
        db.commit()
        assert levels(list(watchers.proofs(look))) == ["ok"]
        drills.failed(db, "rescue", fault="it was not taken back", now=look.now)
        db.commit()

    (found,) = watchers.proofs(look)

    assert (found.level.value, found.text) == ("fail", "rescue was not proven: it was not taken back")


def test_who_is_told_of_alerts_is_told_to_be_watched_from_outside(look: Look) -> None:
    assert look.config is not None
    alerted = replace(look.config, alert_urls=("json://127.0.0.1:9/",))
    pinged = replace(alerted, watch=WatchConfig(ping_url="https://ping.example/1"))

    said = [levels(list(watchers.outside(replace(look, config=each)))) for each in (look.config, alerted, pinged)]

    assert said == [[], ["warn"], ["ok"]]


def test_a_ping_that_was_not_answered_is_told(look: Look) -> None:
    """Who listens may think that this machine is gone."""
    assert look.config is not None
    pinged = replace(
        look.config, alert_urls=("json://127.0.0.1:9/",), watch=WatchConfig(ping_url="https://p.example/1")
    )
    told = []
    for fault in (None, "it answered 404"):
        with closing(sqlite3.connect(look.home.db)) as db, db:
            controls.note_ping(db, fault=fault, now=look.now)
        told += watchers.outside(replace(look, config=pinged))

    assert levels(told) == ["ok", "warn"]
    assert "it answered 404" in told[1].text
