"""What most tests of the runner start from: an empty database, and a clock that stands still."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.home import Home
from runner.store.db import Database
from tests.factories import ManualClock, new_database


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Its folders, without settings or a database."""
    place = Home(tmp_path / "home")
    place.create()
    return place


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = new_database(tmp_path / "agent.db")
    yield made
    made.close()


@pytest.fixture
def db(database: Database) -> sqlite3.Connection:
    """Its connection: every statement a transaction of its own."""
    return database.connection
