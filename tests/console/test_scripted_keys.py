"""Thousands of keys while rows change fifty times a second: nothing is acted on that was not shown as the target.

A few hundred are pressed always; `make test-keys` presses ten thousand, and so does tests/bench. AFK_SEED names another
script.
"""

from __future__ import annotations

import os
import sqlite3

import pytest

from runner.home import Home
from tests.console.scripted import play

KEYS = int(os.environ.get("AFK_KEYS", "300"))
SEED = int(os.environ.get("AFK_SEED", "7"))


@pytest.mark.timeout(300 + KEYS)
@pytest.mark.usefixtures("live")
async def test_no_act_hits_a_row_that_was_not_shown_as_its_target(home: Home, db: sqlite3.Connection) -> None:
    played = await play(home, db, keys=KEYS, seed=SEED)

    assert played.wrong == []
    assert played.changes > KEYS / 500, "rows changed meanwhile"
    assert played.changed > KEYS / 100, "and the keys did something"
    assert played.asked > KEYS / 200
