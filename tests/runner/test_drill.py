"""A drill proves what works, fails what does not, and leaves nothing behind but its date."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
import pytest

from runner import drill
from runner.commands import Door, Killed
from runner.drill import place, sandbox, steps
from runner.drill.place import Place, sweep
from runner.drill.sandbox import NotProven, Sandbox, Settings, must
from runner.drill.servers import Model
from runner.drill.steps import STEPS
from runner.home import Home
from runner.snapshot import Reader
from runner.store.db import Database
from runner.store.drills import Drill
from runner.units import DAY_MS, HOUR_MS, UnixMs, local
from tests.e2e.world import World, alive, eventually
from tests.factories import NOW


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where sandboxes are made; empty again after every test, and no process works there."""
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    yield place
    assert list(place.iterdir()) == []
    world = World(place)
    world.home = place
    eventually(lambda: not world.processes(), what="no process that works there")


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A runner that waits for a core of a busy machine does in minutes what it does in seconds."""
    monkeypatch.setattr(sandbox, "STARTS_WITHIN_S", 120.0)
    monkeypatch.setattr(sandbox, "ENDS_WITHIN_S", 60.0)
    for wait in (Sandbox.wait, Sandbox.vitals):
        monkeypatch.setitem(wait.__kwdefaults__, "within_s", 120.0)
    monkeypatch.setattr(place, "YOUNG_S", 3_600.0)
    monkeypatch.setattr(place, "ENDS_WITHIN_S", 60.0)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.create()
    Database.open(made.db, create=True).close()
    return made


def dates(home: Home) -> dict[str, Drill]:
    reader = Reader(home)
    with closing(reader):
        return {one.name: one for one in reader.drills()}


def run(home: Home, name: str) -> tuple[drill.Drilled, list[str]]:
    said: list[str] = []
    (done,) = drill.drill(home, [name], say=said.append)
    return done, said


def test_a_cap_that_holds_is_proven_and_its_date_is_kept(home: Home, scratch: Path) -> None:
    done, said = run(home, "cap")

    assert done.fault is None
    assert any("the next one did not leave" in fact for fact in done.facts)
    assert [f"cap: {fact}" for fact in done.facts] == said[1:]
    kept = dates(home)
    assert kept["cap"].proven_at is not None
    assert not kept["cap"].failing
    assert kept["stop"] == Drill(name="stop")
    with closing(sqlite3.connect(home.db)) as db:
        assert db.execute("SELECT event FROM events").fetchall() == [("drill.proven",)]
        assert db.execute("SELECT count(*) FROM jobs").fetchone() == (0,)


@pytest.mark.parametrize("hour", range(24))
def test_no_day_ends_in_the_middle_of_a_drill(hour: int) -> None:
    now = UnixMs(NOW // DAY_MS * DAY_MS + hour * HOUR_MS + HOUR_MS - 1)

    assert local(now, ZoneInfo(sandbox.at_noon(now))).hour == 12


def test_a_stop_that_stops_nothing_fails_and_says_why(
    home: Home, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runner is left to work on: the drill must notice."""
    monkeypatch.setattr(Door, "kill", lambda *_, **__: Killed(sources=("row",), already=False, seq=1))
    monkeypatch.setitem(Sandbox.vitals.__kwdefaults__, "within_s", 1.0)
    done, _ = run(home, "stop")

    assert done.fault is not None
    assert "a parked runner with nothing in progress did not come within 1 s" in done.fault
    kept = dates(home)["stop"]
    assert kept.failing
    assert kept.fault == done.fault


def test_a_stop_that_lets_calls_through_fails(home: Home, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls that pass by the gate while nothing may leave."""
    models: list[Model] = []
    monkeypatch.setattr(sandbox, "Model", lambda: models.append(Model()) or models[-1])

    def leak(_: float) -> None:
        for _ in range(9):
            httpx.post(f"http://127.0.0.1:{models[0].port}", json={"model": "drill"})

    monkeypatch.setattr(steps, "_quiet", leak)
    done, _ = run(home, "stop")

    assert done.fault is not None
    assert done.fault.endswith("calls left after the kill")


@pytest.mark.parametrize("broken", ["settings", "step"])
def test_a_drill_that_cannot_be_held_is_not_proven(
    home: Home, scratch: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def fails(*_: object) -> None:
        raise NotProven("it was seen not to work")

    change = {"settings": Settings(daily="much")} if broken == "settings" else {"run": fails}
    monkeypatch.setitem(STEPS, "rescue", replace(STEPS["rescue"], **change))  # type: ignore[arg-type]
    done, _ = run(home, "rescue")

    assert done.fault is not None
    assert dates(home)["rescue"].failing


KILLED = """
import sys, tempfile, time
tempfile.tempdir = sys.argv[1]
from runner.drill import sandbox
from runner.drill.sandbox import Sandbox, Settings
sandbox.STARTS_WITHIN_S = 120.0
with Sandbox(Settings()) as sandbox:
    print(sandbox.start(), flush=True)
    time.sleep(600)
"""


def test_the_next_drill_removes_what_a_killed_one_left_and_nothing_else(scratch: Path) -> None:
    """A runner that works in it is ended. What another drill holds, what is being made and what is no sandbox stays."""
    with subprocess.Popen([sys.executable, "-c", KILLED, scratch], stdout=subprocess.PIPE) as killed:
        assert killed.stdout is not None
        runner = int(killed.stdout.readline())
        (left,) = scratch.iterdir()
        assert sweep() == 0, "it is at work"
        killed.kill()
    assert alive(runner)
    (scratch / "afk-drill-link").symlink_to(left)
    held = Place.make()
    making = scratch / "afk-drill-making"
    making.mkdir()

    assert sweep() == 1

    eventually(lambda: not alive(runner))
    assert {path.name for path in scratch.iterdir()} == {held.root.name, "afk-drill-link", "afk-drill-making"}
    held.remove()
    (scratch / "afk-drill-link").unlink()
    os.utime(making, (0, 0))
    assert sweep() == 1, "nobody is making it any more"


def test_a_rescue_is_proven(home: Home, scratch: Path) -> None:
    done, _ = run(home, "rescue")

    assert done.fault is None
    assert dates(home)["rescue"].proven_at is not None


def test_what_is_seen_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    must(True, "never said")
    with pytest.raises(NotProven, match="it is so"):
        must(False, "it is so")
