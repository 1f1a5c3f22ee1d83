"""The database that schedules are declared in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from sqlite3 import Connection

import pytest

from runner.store.db import Database


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Connection]:
    made = Database.open(tmp_path / "agent.db", create=True)
    yield made.connection
    made.close()
