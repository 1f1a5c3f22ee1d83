"""What a look at the home gives, and what it says when there is nothing to look at."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from console.feed import LOG_LINES, Feed
from console.panes.dead import DeadAsk
from console.panes.job import JobAsk, JobPage
from console.seen import Ask
from runner.home import Home
from runner.snapshot import DeadPage, Reader
from runner.store.db import Database
from runner.store.jobs import JobStatus
from tests.factories import NOW, ManualClock, make_event, make_job, make_settings

DEAD = DeadAsk()


@pytest.fixture
def feed(home: Home) -> Feed:
    return Feed(home)


def test_a_home_without_a_database_is_a_sentence_and_not_an_end(feed: Feed, clock: ManualClock) -> None:
    seen = feed.read(Ask(), now=clock.now())

    assert seen.trouble is not None
    assert (seen.trouble.word, seen.vitals, seen.page) == ("MISSING", None, None)
    assert "afk-runner init" in seen.trouble.text


def test_it_is_read_again_a_second_later_and_says_how_long_it_was_gone(
    feed: Feed, home: Home, clock: ManualClock
) -> None:
    feed.read(Ask(), now=clock.now())
    Database.open(home.db, create=True).close()

    clock.advance(999)
    still_gone = feed.read(Ask(), now=clock.now())
    clock.advance(1)
    back = feed.read(Ask(), now=clock.now())

    assert still_gone.trouble is not None
    assert (back.trouble, back.back_after_ms) == (None, 1_000)
    assert feed.read(Ask(), now=clock.now()).back_after_ms is None


def test_a_database_that_was_moved_away_keeps_the_last_numbers_and_says_of_when_they_are(
    feed: Feed, home: Home, db: sqlite3.Connection, clock: ManualClock
) -> None:
    make_job(db)
    feed.read(Ask(), now=clock.now())
    home.db.rename(home.root / "elsewhere")
    clock.advance(60_000)

    seen = feed.read(Ask(), now=clock.now())

    assert seen.trouble is not None
    assert seen.vitals is not None
    assert (seen.trouble.word, seen.vitals.counts.pending) == ("MISSING", 1)
    assert (seen.stale, seen.as_of) == (True, NOW)


def test_a_replaced_database_is_read_anew_and_counted_as_another(
    feed: Feed, home: Home, db: sqlite3.Connection, clock: ManualClock
) -> None:
    make_job(db)
    before = feed.read(DEAD, now=clock.now())
    other = home.root / "other.db"
    with_two = Database.open(other, create=True)
    make_job(with_two.connection, status=JobStatus.DEAD)
    with_two.checkpoint(truncate=True)
    with_two.close()
    os.replace(other, home.db)
    for suffix in ("-wal", "-shm"):
        Path(f"{home.db}{suffix}").unlink(missing_ok=True)

    during = feed.read(DEAD, now=clock.now())
    clock.advance(1_000)
    after = feed.read(DEAD, now=clock.now())

    assert during.trouble is not None
    assert during.trouble.word == "REPLACED"
    assert after.trouble is None
    assert after.generation == before.generation + 1
    assert after.log.fresh
    assert isinstance(after.page, DeadPage)
    assert after.page.total == 1


def test_a_locked_database_is_said_to_be_locked(feed: Feed, home: Home, clock: ManualClock) -> None:
    Database.open(home.db, create=True).close()
    holder = sqlite3.connect(home.db, isolation_level=None)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    holder.execute("UPDATE board SET change_seq = 1")

    seen = feed.read(Ask(), now=clock.now())

    holder.close()
    assert seen.trouble is not None
    assert seen.trouble.word == "LOCKED"


@pytest.mark.parametrize(
    ("damage", "word"),
    [("PRAGMA user_version = 99", "NEWER"), ("PRAGMA application_id = 7", "DAMAGED")],
    ids=["newer", "foreign"],
)
def test_a_database_that_is_not_for_us_is_named(
    feed: Feed, db: sqlite3.Connection, clock: ManualClock, damage: str, word: str
) -> None:
    db.execute(damage)

    seen = feed.read(Ask(), now=clock.now())

    assert seen.trouble is not None
    assert seen.trouble.word == word


def test_an_upgrade_under_an_open_console_is_noticed(feed: Feed, db: sqlite3.Connection, clock: ManualClock) -> None:
    feed.read(Ask(), now=clock.now())
    db.execute("PRAGMA user_version = 99")

    first = feed.read(Ask(), now=clock.now())
    clock.advance(1_000)
    second = feed.read(Ask(), now=clock.now())

    assert [seen.trouble.word if seen.trouble else None for seen in (first, second)] == ["NEWER", "NEWER"]


def test_a_row_that_makes_no_sense_is_trouble_and_not_a_crash(
    feed: Feed, db: sqlite3.Connection, clock: ManualClock
) -> None:
    make_settings(db, timezone="Mars/Olympus\x1b[2J")

    seen = feed.read(Ask(), now=clock.now())

    assert seen.trouble is not None
    assert seen.trouble.word == "UNREADABLE"
    assert "\x1b" not in seen.trouble.text


def test_nothing_is_queried_while_nothing_changes(
    feed: Feed, db: sqlite3.Connection, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed.read(DEAD, now=clock.now())
    queried: list[str] = []
    for name in ("vitals", "dead_page", "jobs", "events"):
        real = getattr(Reader, name)
        monkeypatch.setattr(
            Reader, name, lambda self, name=name, real=real, **rest: (queried.append(name), real(self, **rest))[1]
        )

    clock.advance(250)
    feed.read(DEAD, now=clock.now())
    quiet = list(queried)
    make_job(db, status=JobStatus.DEAD)
    feed.read(DEAD, now=clock.now())

    assert quiet == []
    assert queried == ["vitals", "dead_page", "events"]


def test_the_log_gives_each_event_once(feed: Feed, db: sqlite3.Connection, clock: ManualClock) -> None:
    make_event(db, "first")
    one = feed.read(Ask(), now=clock.now()).log
    make_event(db, "second")
    two = feed.read(Ask(), now=clock.now()).log
    three = feed.read(Ask(), now=clock.now()).log

    assert (one.fresh, [event.text for event in one.events]) == (True, ["first"])
    assert (two.fresh, [event.text for event in two.events]) == (False, ["second"])
    assert three.events == ()


def test_more_events_than_a_look_can_take_are_counted_as_skipped(
    feed: Feed, database: Database, clock: ManualClock
) -> None:
    with database.write() as db:
        make_event(db, "seen")
    feed.read(Ask(), now=clock.now())
    with database.write() as db:
        for number in range(LOG_LINES + 7):
            make_event(db, f"event {number}")

    log = feed.read(Ask(), now=clock.now()).log

    assert (len(log.events), log.skipped) == (LOG_LINES, 7)
    assert log.events[-1].text == f"event {LOG_LINES + 6}"


def test_a_job_that_was_removed_is_no_page(feed: Feed, db: sqlite3.Connection, clock: ManualClock) -> None:
    job = make_job(db, status=JobStatus.DONE)
    ask = JobAsk(job=job.id)
    there = feed.read(ask, now=clock.now()).page
    db.execute("DELETE FROM jobs")

    gone = feed.read(ask, now=clock.now()).page

    assert isinstance(there, JobPage)
    assert there.job is not None
    assert gone == JobPage(job=None)
