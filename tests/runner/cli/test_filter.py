"""The filter of the console, on the command line."""

from __future__ import annotations

import sqlite3

from runner.home import Home
from tests.runner.cli.world import Afk, bury, queue


def test_a_filter_lists_what_it_means(afk: Afk, home: Home, db: sqlite3.Connection) -> None:
    timed_out = bury(home, db, error="TimeoutError: 504")
    bury(home, db, error="the box is gone", payload={"n": 2})
    waiting = queue(home, db, "sweep")

    assert [job["key"] for job in afk("jobs", "--filter", "state:dead err:timeout", "--json").json] == [timed_out]
    assert [job["key"] for job in afk("jobs", "--filter", "-state:dead", "--json").json] == [waiting]
    assert afk("jobs", "--filter", "err:timeout", "--task", "sweep").err.strip().endswith("no job is meant by that")
    assert timed_out in afk("jobs", "--filter", "err:timeout", "--status", "dead").out
    assert len(afk("jobs", "--filter", "age<1h", "--limit", "2", "--json").json) == 2


def test_a_filter_that_is_none_is_refused_with_how_it_is_written(afk: Afk) -> None:
    answer = afk("jobs", "--filter", "status:dead")

    assert answer.code == 64
    assert "the nearest is state:pending" in answer.err
