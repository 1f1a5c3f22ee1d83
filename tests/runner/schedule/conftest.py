"""The database that schedules are declared in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from sqlite3 import Connection

import pytest

from tests.factories import new_database


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Connection]:
    made = new_database(tmp_path / "agent.db")
    yield made.connection
    made.close()
