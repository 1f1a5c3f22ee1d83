"""What most tests of the runner start from: an empty database, and a clock that stands still."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.doctor import database as doctor_database
from runner.doctor import disk as doctor_disk
from runner.doctor.watched import watched
from runner.home import Home
from runner.notify import courier
from runner.store.db import Database
from runner.units import SystemClock, UnixMs
from tests.factories import NOW, ManualClock, new_database


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> UnixMs:
    """The program's own clock, standing still: no heart falls silent and no day ends while a test waits its turn."""
    monkeypatch.setattr(SystemClock, "now", lambda _: NOW)
    return NOW


@pytest.fixture
def patient_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    """A doctor who hears every check out: on a busy machine one that is slow does not hang."""
    monkeypatch.setattr(courier, "START_S", 120.0)
    monkeypatch.setattr(courier, "ANSWER_S", 120.0)
    monkeypatch.setitem(watched.__kwdefaults__, "limit_s", 240.0)
    monkeypatch.setattr(doctor_database, "QUICK_S", 120.0)
    monkeypatch.setattr(doctor_disk, "COUNT_S", 120.0)


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
