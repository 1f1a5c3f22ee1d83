"""Thousands of keys while rows change fifty times a second: nothing is acted on that was not shown as the target.

Pressed on demand: AFK_KEYS=10000 presses them here, and tests/bench does. The witness beside the keys follows the marks
by what can be seen: it does not know those that Space on an error gives to letters below the view, and calls an act
on one of them wrong.
"""

from __future__ import annotations

import os
import sqlite3

import pytest

from runner.home import Home
from tests.console.scripted import play

KEYS = int(os.environ.get("AFK_KEYS", "0"))


@pytest.mark.skipif(not KEYS, reason="AFK_KEYS says how many keys are pressed")
@pytest.mark.usefixtures("live")
async def test_no_act_hits_a_row_that_was_not_shown_as_its_target(home: Home, db: sqlite3.Connection) -> None:
    played = await play(home, db, keys=KEYS, seed=7)

    assert played.wrong == []
    assert played.changes > KEYS / 500, "rows changed meanwhile"
    assert played.changed > KEYS / 100, "and the keys did something"
    assert played.asked > KEYS / 200
