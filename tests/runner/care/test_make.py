"""The database of a home: made once, and stopped where it takes the place of a lost one."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from runner.care.make import ANEW, Made, make
from runner.errors import Refused
from runner.home import Home
from runner.lock import HomeLock
from runner.snapshot import Reader
from runner.views import StopView
from tests.factories import NOW

KEPT = Made(new=False, stopped=False)


@pytest.fixture
def place(tmp_path: Path) -> Home:
    home = Home(tmp_path / "a home")
    home.create()
    return home


def stop_of(home: Home) -> StopView:
    with closing(Reader(home)) as reader:
        return reader.vitals(now=NOW).stop


def test_a_new_home_is_not_stopped_and_is_made_once(place: Home) -> None:
    assert make(place, by="a test", now=NOW) == Made(new=True, stopped=False)
    assert make(place, by="a test", now=NOW) == KEPT
    assert not stop_of(place).set


@pytest.mark.parametrize(
    "trace",
    [
        lambda home: home.heartbeat.touch(),
        lambda home: os.mkfifo(home.fifo),
        lambda home: home.starts.touch(),
        lambda home: (home.logs / "runner.log").touch(),
        lambda home: home.attempt_file(1, 1).touch(),
        lambda home: (home.outputs / "digest").mkdir(),
        lambda home: (home.reports / "2027-01-01.md").touch(),
    ],
)
def test_a_lost_file_is_no_fresh_cap(place: Home, trace: Callable[[Home], object]) -> None:
    """By the file and by the row: one who deletes the STOP file is held by the other."""
    trace(place)

    assert make(place, by="a test", now=NOW) == Made(new=True, stopped=True)

    stop = stop_of(place)
    assert (stop.sources, stop.reason, stop.by) == (("file", "row"), ANEW, "a test")
    assert make(place, by="a test", now=NOW) == KEPT


def test_an_empty_file_is_a_lost_database(place: Home) -> None:
    place.heartbeat.touch()
    place.db.touch()

    assert make(place, by="a test", now=NOW).stopped


def test_nothing_is_made_under_a_runner_that_waits_for_its_database(place: Home) -> None:
    os.mkfifo(place.fifo)
    holder = HomeLock(place.lock)
    assert holder.take()

    with pytest.raises(Refused, match="waits for its database: put it back, or end the runner first"):
        make(place, by="a test", now=NOW)

    assert not place.db.exists()
    holder.close()


@pytest.mark.parametrize("first", [True, False], ids=["no settings until now", "a runner waits"])
def test_a_home_whose_runner_was_refused_from_the_first_is_new(place: Home, first: bool) -> None:
    """As that of a container, which is started before there are settings and a database."""
    place.heartbeat.touch()
    place.starts.touch()
    holder = HomeLock(place.lock)
    assert first or holder.take()

    assert make(place, by="a test", now=NOW, first=first) == Made(new=True, stopped=False)

    holder.close()


def test_what_was_written_last_is_not_thrown_away(place: Home) -> None:
    """SQLite deletes the log of a database that is not there."""
    log = place.db.with_name("agent.db-wal")
    log.write_bytes(b"the last writes")

    with pytest.raises(Refused, match="put that back beside it, or move it away"):
        make(place, by="a test", now=NOW)

    assert log.read_bytes() == b"the last writes"
    assert not place.db.exists()
