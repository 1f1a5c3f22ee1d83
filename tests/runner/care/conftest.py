"""A home of its own for each test, and its database, every statement a transaction of its own."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from runner.home import Home
from tests.factories import new_database


@pytest.fixture
def home(tmp_path: Path) -> Home:
    place = Home(tmp_path / "home")
    place.create()
    new_database(place.db).close()
    return place


@pytest.fixture
def db(home: Home) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(home.db, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = OFF")
        yield connection
