"""Who stops the runner, in words that follow "stopped by"."""

from __future__ import annotations

import sqlite3

import pytest

from runner.daemon.switch import StopSwitch
from runner.home import Home
from runner.store import controls
from tests.factories import NOW


@pytest.fixture
def switch(home: Home) -> StopSwitch:
    return StopSwitch(home, {})


def test_a_kill_is_told_of_with_its_name_and_reason(switch: StopSwitch, home: Home, db: sqlite3.Connection) -> None:
    assert switch.who() is None
    home.write_stop(controls.stop_text(reason="the file", by="bob@cli"))
    assert switch.who() == "bob@cli (the file)"

    controls.set_stop(db, controls.STOP, reason="asked by a person", by="ada@cli", now=NOW)
    switch.read(db)
    assert switch.who() == "ada@cli (asked by a person)"
    home.stop.unlink()
    assert switch.who() == "ada@cli (asked by a person)"


def test_a_hand_is_told_of_by_what_it_did(switch: StopSwitch, home: Home, db: sqlite3.Connection) -> None:
    db.execute("UPDATE control SET value = '1' WHERE key = 'stop'")
    switch.read(db)
    assert switch.who() == "the control row, set by hand"
    db.execute("DELETE FROM control WHERE key = 'stop'")
    switch.read(db)
    assert switch.who() == "a control table without its stop row"
    home.stop.mkdir()
    assert switch.who() == "a STOP file"
    home.stop.rmdir()
    assert StopSwitch(home, {"AFK_STOP": "1"}).who() == "AFK_STOP in the environment"
