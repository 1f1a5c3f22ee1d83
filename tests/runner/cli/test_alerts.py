"""`afk-runner alerts`: what holds, whether anybody was told, a test that is really sent, and closing by hand."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from runner.errors import Exit
from runner.home import Home
from runner.store import addresses, alerts
from runner.units import HOUR_MS, UnixMs
from tests.mailbox import SECRET, Mailbox
from tests.runner.cli.world import Afk


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    made = Mailbox()
    yield made
    made.close()


def raised(db: sqlite3.Connection, key: str, *, now: UnixMs, closed: bool = False) -> None:
    alerts.raise_alert(db, key=key, level="warn", text=f"{key} is\nopen", now=now)
    if closed:
        alerts.close(db, key=key, now=now)


def test_the_listing_has_what_holds_and_with_all_what_is_over(afk: Afk, db: sqlite3.Connection, now: UnixMs) -> None:
    assert "no alert holds" in afk("alerts").err
    raised(db, "breaker:x", now=now)
    raised(db, "breaker:y", now=now, closed=True)
    db.execute("UPDATE alerts SET owed = 0, delivered_at = at WHERE key = 'breaker:y'")

    (row,) = afk("alerts", "--json").json["alerts"]
    assert (row["key"], row["open"], row["undelivered"], row["times"]) == ("breaker:x", True, True, 1)
    header, line = afk("alerts").out.splitlines()
    assert header.split() == ["KEY", "LEVEL", "STATE", "TOLD", "TIMES", "SINCE", "TEXT"]
    assert line.split()[:6] == ["breaker:x", "warn", "holds", "not", "yet", "1"]
    assert line.endswith(r"breaker:x is\nopen")

    assert [one["key"] for one in afk("alerts", "--all", "--json").json["alerts"]] == ["breaker:y", "breaker:x"]
    assert "settled" in afk("alerts", "--all").out


def test_an_address_that_fails_is_said_here_and_in_the_status(afk: Afk, db: sqlite3.Connection, now: UnixMs) -> None:
    addresses.failed(db, "json://host", error="error=500.", now=UnixMs(now - HOUR_MS))
    raised(db, "breaker:x", now=now)

    assert "json://host takes none since" in afk("alerts").err
    (address,) = afk("alerts", "--json").json["addresses"]
    assert (address["name"], address["failures"], address["last_error"]) == ("json://host", 1, "error=500.")
    said = [line for line in afk("status").out.splitlines() if line.startswith("alerts")]
    assert said[0].endswith("1 alert open, 1 not told to everybody; `afk-runner alerts` lists them")
    assert "json://host takes none since" in said[1]


def test_a_test_is_really_sent_to_each_and_names_no_secret(
    afk: Afk, home: Home, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", f"{mailbox.url}?cto=25&rto=25")  # apprise gives up after 4 s if not told otherwise
    with home.config.open("a") as toml:
        toml.write('[alerts]\nurls = ["env:HOOK", "bogus://tok3n-of-somebody/else"]\n')

    answer = afk("alerts", "test")
    in_json = afk("alerts", "test", "--json")

    assert answer.code == in_json.code == Exit.REFUSED
    assert answer.out == "json://127.0.0.1 took it\n"
    assert answer.err.startswith("bogus did not take it: ")
    assert [one["taken"] for one in in_json.json["addresses"]] == [True, False]
    assert mailbox.titles == ["test", "test"]
    assert f"alerts of {home.root} on " in mailbox.texts[0]
    for said in (answer.out, answer.err, in_json.out):
        assert SECRET not in said
        assert "tok3n" not in said


def test_a_test_without_an_address_says_where_to_write_one(afk: Afk) -> None:
    answer = afk("alerts", "test")

    assert answer.code == Exit.REFUSED
    assert "[alerts] names no address" in answer.err


def test_one_is_closed_by_hand(afk: Afk, db: sqlite3.Connection, now: UnixMs) -> None:
    raised(db, "orphans:runner-1", now=now)
    assert afk("alerts", "close").code == Exit.USAGE
    assert afk("alerts", "close", "orphans:runner-1").code == Exit.USAGE
    assert afk("alerts", "close", "orphans:runner-2", "--reason", "checked").code == Exit.REFUSED

    answer = afk("alerts", "close", "orphans:runner-1", "--reason", "the bill was checked")

    assert (answer.code, answer.out) == (0, "closed orphans:runner-1\n")
    assert afk("alerts", "--json").json["alerts"][0]["ending"] == "closed"
    assert afk("alerts", "close", "orphans:runner-1", "--reason", "again").code == Exit.REFUSED
