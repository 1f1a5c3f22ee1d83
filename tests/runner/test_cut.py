"""A NUL in a text from outside ends no list."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from runner.home import Home
from runner.snapshot import Reader
from runner.store.jobs import JobStatus
from runner.views import CUT
from tests.factories import NOW, make_job, new_database


@pytest.fixture
def db(home: Home) -> Iterator[sqlite3.Connection]:
    with closing(new_database(home.db)) as database:
        yield database.connection


def bury(db: sqlite3.Connection, key: str, *, died: int, error: str) -> int:
    return make_job(db, key=key, status=JobStatus.DEAD, finished_at=died, error=error).id


def test_a_nul_ends_no_error_in_a_list(home: Home, db: sqlite3.Connection) -> None:
    """SQLite's own `substr` of a text ends there, and the listing ended in mid-sentence."""
    error = "ValueError: cause {'x': '\0'}: the box is gone"
    bury(db, "one", died=NOW, error=error)
    make_job(db, key="waits", waiting_on="\0 is to come")

    with closing(Reader(home)) as reader:
        assert reader.dead(cut=True)[0].error == error
        assert reader.dead_page().groups[0].error == error
        assert reader.dead_page(unfolded=True).groups[0].listed[0].error == error
        assert reader.jobs(cut=True)[0].waiting_on == "\0 is to come"


@pytest.mark.parametrize("text", ["\0" + "x" * 2 * CUT, "ä" * 2 * CUT, "ä" * CUT + "\0" + "ä" * CUT])
def test_a_long_error_is_cut_in_a_list(home: Home, db: sqlite3.Connection, text: str) -> None:
    bury(db, "one", died=NOW, error=text)

    with closing(Reader(home)) as reader:
        assert reader.dead(cut=True)[0].error == text[:CUT]
