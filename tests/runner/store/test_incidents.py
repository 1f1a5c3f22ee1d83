"""An incident is opened by an alert, settled with it, and closed by a person alone; its words stay."""

from __future__ import annotations

import sqlite3

import pytest

from runner import telling
from runner.store import alerts, incidents
from runner.units import DAY_MS, UnixMs
from tests.factories import NOW


def tell(db: sqlite3.Connection, key: str = "breaker:a/b", *, level: str = "error", text: str = "a/b is open") -> bool:
    return telling.tell(db, key=key, level=level, text=text, now=NOW)


@pytest.mark.parametrize(
    ("key", "subject"),
    [
        ("cap:day:2030-03-17:80", "cap:day"),
        ("cap:day:2030-03-17:alone:100", "cap:day"),
        ("cap:hour:2030-03-17T17:100", "cap:hour"),
        ("cap:month:2030-03:50", "cap:month"),
        ("cap:task:digest-2:2030-03-17:100", "cap:task:digest-2"),
        ("cap:task:of:2029-01-01:2030-03-17:100", "cap:task:of:2029-01-01"),
        ("orphans:box-1-abc", "orphans"),
        ("breaker:a/b", "breaker:a/b"),
        ("dead:digest", "dead:digest"),
        ("stop", "stop"),
    ],
)
def test_a_subject_is_the_trouble_and_not_its_day_or_runner(key: str, subject: str) -> None:
    assert incidents.subject_of(key) == subject


def test_an_alert_that_warns_opens_one_and_one_that_tells_opens_none(db: sqlite3.Connection) -> None:
    tell(db)
    tell(db, "heartbeat", level="warn")
    tell(db, "breaker:a/b:closed", level="info")

    assert [(one.subject, one.level) for one in incidents.still_open(db, limit=9)] == [
        ("heartbeat", "warn"),
        ("breaker:a/b", "error"),
    ]


def test_what_is_told_again_is_counted_and_the_worst_level_stays(db: sqlite3.Connection) -> None:
    tell(db, "cap:day:2030-03-17:80", level="warn", text="80 %")
    tell(db, "cap:day:2030-03-17:100", text="full")
    tell(db, "cap:day:2030-03-17:100", text="still full")
    tell(db, "cap:day:2030-03-18:80", level="warn", text="the next day")

    (one,) = incidents.still_open(db, limit=9)

    assert (one.alerts, one.level, one.text, one.last_text) == (4, "error", "80 %", "the next day")


@pytest.mark.parametrize("how", ["settled", "lapse", "close_like"])
def test_it_is_over_when_its_alert_is_whoever_closes_that(db: sqlite3.Connection, how: str) -> None:
    telling.tell(db, key="orphans:r1", level="warn", text="held", now=NOW, lapses_at=UnixMs(NOW + 5))
    end = UnixMs(NOW + 10)
    if how == "settled":
        telling.settled(db, key="orphans:r1", now=end)
    elif how == "lapse":
        alerts.lapse(db, now=end)
    else:
        alerts.close_like(db, "orphans:%", now=end)

    (one,) = incidents.still_open(db, limit=9)

    assert one.settled_at is not None
    assert one.settled_at >= NOW
    assert one.closed_at is None


def test_what_comes_back_is_not_over(db: sqlite3.Connection) -> None:
    tell(db)
    telling.settled(db, key="breaker:a/b", now=NOW)
    tell(db, text="open again")

    (one,) = incidents.still_open(db, limit=9)

    assert (one.alerts, one.settled_at) == (2, None)


def test_a_closed_one_stays_closed_and_the_next_edge_opens_another(db: sqlite3.Connection) -> None:
    tell(db)
    (first,) = incidents.still_open(db, limit=9)
    assert incidents.close(db, first.id, cause="a key", fix="a new one", by="ada@cli", now=NOW)
    tell(db, text="the same edge, told again")

    assert not incidents.still_open(db, limit=9)
    assert not incidents.close(db, first.id, cause="no", fix="no", by="bob@cli", now=NOW)

    telling.settled(db, key="breaker:a/b", now=NOW)
    tell(db)
    (second,) = incidents.still_open(db, limit=9)
    kept = incidents.get(db, first.id)

    assert second.id != first.id
    assert kept is not None
    assert (kept.cause, kept.closed_by, kept.alerts) == ("a key", "ada@cli", 1)


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM incidents",
        "DELETE FROM incident_notes",
        "UPDATE incidents SET text = 'nothing was wrong'",
        "UPDATE incidents SET alerts = 0",
        "UPDATE incidents SET closed_at = 1",
        "UPDATE incident_notes SET text = 'no'",
        "INSERT INTO incidents (subject, alert_key, level, text, last_text, opened_at, last_at) "
        "SELECT subject, alert_key, level, text, last_text, opened_at, last_at FROM incidents",
    ],
)
def test_the_database_itself_keeps_an_open_one_as_it_is(db: sqlite3.Connection, sql: str) -> None:
    tell(db)
    (one,) = incidents.still_open(db, limit=9)
    incidents.note(db, one.id, text="looked at it", by="ada@cli", now=NOW)

    with pytest.raises(sqlite3.IntegrityError):
        db.execute(sql)


def test_a_closed_one_keeps_its_words(db: sqlite3.Connection) -> None:
    tell(db)
    (one,) = incidents.still_open(db, limit=9)
    incidents.close(db, one.id, cause="a key", fix="a new one", by="ada@cli", now=NOW)

    with pytest.raises(sqlite3.IntegrityError, match="keeps its words"):
        db.execute("UPDATE incidents SET cause = 'another'")


def test_only_what_was_closed_long_ago_is_forgotten_with_its_notes(db: sqlite3.Connection) -> None:
    tell(db, "a")
    tell(db, "b")
    for one in incidents.still_open(db, limit=9):
        incidents.note(db, one.id, text="seen", by="ada@cli", now=NOW)
        if one.subject == "a":
            incidents.close(db, one.id, cause="x", fix="y", by="ada@cli", now=NOW)

    assert incidents.prune(db, now=UnixMs(NOW + 399 * DAY_MS), batch=9) == 0
    assert incidents.prune(db, now=UnixMs(NOW + 401 * DAY_MS), batch=9) == 1
    assert [one.subject for one in incidents.newest(db, limit=9)] == ["b"]
    assert db.execute("SELECT count(*) FROM incident_notes").fetchone() == (1,)
