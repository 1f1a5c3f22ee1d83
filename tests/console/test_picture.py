"""The README's picture can be remade, and is the same each time."""

from __future__ import annotations

from runner.home import Home
from runner.store.db import Database
from tests.console.conftest import runner_lock
from tests.console.picture import draw
from tests.console.seed import seed
from tests.factories import NOW


async def test_the_same_home_gives_the_same_picture(home: Home, database: Database) -> None:
    seed(database, NOW, pid=4121)
    with runner_lock(home):
        first, second = [await draw(home) for _ in range(2)]

    assert first == second
    assert "RUNNING" in first
