"""Whether anybody would be told."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from runner import telling
from runner.doctor import alerts
from runner.doctor.look import Look
from runner.store import addresses
from runner.units import UnixMs
from tests.runner.doctor.conftest import levels

URL = "json://127.0.0.1:9/a-token"
NAME = "json://127.0.0.1"


def with_urls(look: Look, *urls: str) -> Look:
    assert look.config is not None
    return replace(look, config=replace(look.config, alert_urls=urls))


def test_what_nobody_was_told_yet_is_told_here(look: Look) -> None:
    assert levels(list(alerts.channel(with_urls(look, URL)))) == []
    with closing(sqlite3.connect(look.home.db)) as db, db:
        telling.tell(db, key="stop", level="warn", text="somebody stopped it", now=look.now)

    texts = [finding.text for finding in alerts.channel(look)]

    assert texts[0].startswith("[alerts] names no address")
    assert texts[1] == "1 alert holds still; 1 of all alerts reached nobody yet"


def test_an_address_that_is_no_address_fails_without_its_secret(look: Look) -> None:
    (said,) = alerts.understood(look, "nosuch", "nosuch://token-0123456789")

    assert said.level.value == "fail"
    assert "this is no URL that apprise knows" in said.text
    assert "Error" not in said.text
    assert "token-0123456789" not in said.text


@pytest.mark.parametrize(
    ("history", "level", "said"),
    [
        ("never", "warn", "never took a message"),
        ("failing", "warn", "takes nothing (1 failure in a row): it is full"),
        ("works", "ok", "took its last message 5m ago"),
    ],
)
def test_what_became_of_the_last_message_is_told(look: Look, history: str, level: str, said: str) -> None:
    with closing(sqlite3.connect(look.home.db)) as db, db:
        if history == "failing":
            addresses.failed(db, NAME, error="it is full", now=look.now)
        if history == "works":
            addresses.took(db, NAME, now=UnixMs(look.now - 300_000))

    (found,) = alerts.understood(look, NAME, URL)

    assert found.level.value == level
    assert said in found.text
