"""A home to type at, and the program called in this process."""

from __future__ import annotations

import io
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from runner.cli import main
from runner.home import Home
from runner.units import UnixMs
from tests.factories import new_database
from tests.runner.cli.world import SETTINGS, Afk, Answer


@pytest.fixture
def home(tmp_path: Path) -> Home:
    place = Home(tmp_path / "home")
    place.create()
    place.config.write_text(SETTINGS)
    new_database(place.db).close()
    return place


@pytest.fixture(autouse=True)
def _in_no_hurry(now: UnixMs, patient_doctor: None) -> None:
    """All that is typed in a test is typed at one moment."""


@pytest.fixture
def afk(home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Afk:
    """`afk("job", key)` types `afk-runner job KEY` at the home."""
    monkeypatch.setenv("AFK_HOME", str(home.root))
    monkeypatch.delenv("AFK_DEBUG", raising=False)

    def type_in(*argv: str, stdin: bytes = b"") -> Answer:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = main(argv)
        out, err = capsys.readouterr()
        return Answer(code, out, err)

    return type_in


@pytest.fixture
def db(home: Home) -> Iterator[sqlite3.Connection]:
    """The home's database, every statement a transaction of its own."""
    with closing(sqlite3.connect(home.db, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        yield connection
