"""What is shown of a stop: who, why and when, from whichever source knows."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import replace

from runner.home import Home
from runner.snapshot.state import stop_view
from runner.snapshot.why import lifts
from runner.store import controls
from runner.views import Health, RunnerView, StopView
from tests.factories import NOW

GONE, LIVE = RunnerView(health=Health.STOPPED), RunnerView(health=Health.LIVE)


def seen(db: sqlite3.Connection, home: Home, runner: RunnerView = GONE) -> StopView:
    return stop_view(home, controls.everything(db), runner)


def test_nothing_is_set(db: sqlite3.Connection, home: Home) -> None:
    assert seen(db, home) == StopView()


def test_the_words_of_a_kill_that_could_write_the_file_alone(db: sqlite3.Connection, home: Home) -> None:
    home.write_stop(controls.stop_text(reason="bill looks wrong", by="ada@cli"))
    os.utime(home.stop, (NOW / 1000, NOW / 1000))

    assert seen(db, home) == StopView(sources=("file",), reason="bill looks wrong", by="ada@cli", at=NOW)


def test_the_row_knows_best_and_a_hand_knows_least(db: sqlite3.Connection, home: Home) -> None:
    home.write_stop(controls.stop_text(reason="the file", by="bob@cli"))
    row = controls.set_stop(db, controls.STOP_NOW, reason="the row", by="ada@cli", now=NOW)
    said = StopView(sources=("file", "row"), now=True, reason="the row", by="ada@cli", at=NOW, seq=row.seq)
    assert seen(db, home) == said

    db.execute("UPDATE control SET reason = NULL, by = NULL, at = NULL WHERE key = 'stop'")
    assert (seen(db, home).reason, seen(db, home).by) == ("the file", "bob@cli")
    home.stop.unlink()
    by_hand = replace(said, sources=("row",), reason=controls.BY_HAND, by=None, at=None)
    assert seen(db, home) == by_hand


def test_a_file_made_by_hand_has_no_words(db: sqlite3.Connection, home: Home) -> None:
    home.stop.write_text("\x1b[2Jby me\n")

    assert seen(db, home) == StopView(sources=("file",), reason="a STOP file")


def test_what_resume_cannot_lift_is_said(db: sqlite3.Connection, home: Home) -> None:
    home.stop.mkdir()
    assert lifts(seen(db, home)) == "`afk-runner resume` lifts it"
    (home.stop / "x").mkdir()
    view = seen(db, home)
    assert (view.reason, view.folder) == ("a STOP folder that holds something", True)
    assert lifts(view) == "it holds until the folder STOP in the home is removed by hand"

    controls.put_settings(db, {"stop_env": "1"}, now=NOW)
    controls.set_stop(db, controls.STOP, reason="lunch", by="ada@cli", now=NOW)
    unset = "AFK_STOP is unset in the runner's environment and the runner restarted"
    assert lifts(seen(db, home, LIVE)) == (
        f"it holds until {unset}, then the folder STOP in the home is removed by hand, then `afk-runner resume`"
    )
