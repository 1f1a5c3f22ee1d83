"""A runner whose database was moved away and replaced: it lives, and its heartbeat file says what it does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from runner.doctor import state
from runner.doctor.look import Look
from runner.heartbeat import HeartbeatFile
from runner.home import Home
from runner.lock import HomeLock
from runner.snapshot import Health, Reader, RunnerView, RunState
from runner.store.inplace import MOVED
from runner.units import SECOND_MS, UnixMs
from tests.factories import NOW, new_database

FAULT = f"the database cannot be written: {MOVED}: /a/home/agent.db"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """Held by a runner that its database knows nothing of."""
    place = Home(tmp_path / "home")
    place.create()
    new_database(place.db).close()
    lock = HomeLock(place.lock)
    assert lock.take()
    yield place
    lock.close()


def beat(home: Home, *, fault: str | None) -> None:
    """A heartbeat of `NOW`."""
    with closing(HeartbeatFile(home.heartbeat)) as heart:
        heart.beat(fault=fault)
    os.utime(home.heartbeat, (NOW / 1000, NOW / 1000))


def seen(home: Home, *, later_ms: int = 0) -> RunnerView:
    with closing(Reader(home)) as reader:
        return reader.vitals(now=UnixMs(NOW + later_ms)).runner


def test_it_is_parked_and_not_hung(home: Home) -> None:
    beat(home, fault=FAULT)

    view = seen(home)

    assert view.health is Health.LIVE
    assert view.row is not None
    assert (view.row.state, view.row.reason, view.row.pid) == (RunState.PARKED, FAULT, os.getpid())


def test_one_that_says_nothing_any_more_is_silent(home: Home) -> None:
    beat(home, fault=FAULT)

    assert seen(home, later_ms=60 * SECOND_MS).health is Health.SILENT


def test_one_that_has_just_taken_the_home_starts(home: Home) -> None:
    beat(home, fault=None)

    view = seen(home)

    assert (view.health, view.row and view.row.state) == (Health.LIVE, RunState.STARTING)


@pytest.mark.parametrize("gone", [False, True])
def test_doctor_says_what_it_waits_for(home: Home, gone: bool) -> None:
    beat(home, fault=FAULT)
    if gone:
        home.db.unlink()

    found = next(iter(state.state(Look(home=home, environ={}, now=NOW))))

    assert (found.level.value, found.text) == ("warn", f"pid {os.getpid()} is parked: {FAULT}")
    assert "kill" not in (found.mend or "")
