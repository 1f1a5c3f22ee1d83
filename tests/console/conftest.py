"""A home with a real database, a clock moved by hand, a runner that lives as long as it holds its lock."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from console.tui import ConsoleApp, Options
from runner.home import Home
from runner.store.db import Database
from tests.console.keen import keen_pilots
from tests.factories import ManualClock, make_runner, make_settings, new_database


class ManualMonotonic:
    """A monotonic clock that stands until it is moved."""

    def __init__(self) -> None:
        self.value = 1_000.0

    def __call__(self) -> float:
        return self.value

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.value += seconds


@contextmanager
def runner_lock(home: Home) -> Iterator[None]:
    """Hold the home as a runner does."""
    fd = os.open(home.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(fd)


@pytest.fixture(scope="session", autouse=True)
def _keen() -> Iterator[None]:
    with keen_pilots():
        yield


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def monotonic() -> ManualMonotonic:
    return ManualMonotonic()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.create()
    return made


@pytest.fixture
def database(home: Home) -> Iterator[Database]:
    opened = new_database(home.db)
    opened.connection.execute("PRAGMA synchronous = OFF")  # no machine dies here
    yield opened
    opened.close()


@pytest.fixture
def db(database: Database) -> sqlite3.Connection:
    """The connection; outside a transaction every statement commits by itself."""
    return database.connection


@pytest.fixture
def live(home: Home, db: sqlite3.Connection) -> Iterator[None]:
    """A runner that beats now and holds the lock, under a cap of ten dollars."""
    make_settings(db)
    make_runner(db)
    with runner_lock(home):
        yield


@pytest.fixture
def app(home: Home, clock: ManualClock, monotonic: ManualMonotonic) -> ConsoleApp:
    """The console of the home; run it with `app.run_test(size=...)`."""
    return ConsoleApp(home, clock=clock, monotonic=monotonic, options=Options())
