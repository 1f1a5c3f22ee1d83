"""A home, a machine that is made of a temporary folder, and supervisors that do as they are told."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runner.home import Home
from runner.service.machine import Machine
from runner.service.plan import Platform
from runner.service.verbs import Service
from runner.service.witness import Patience
from runner.units import UnixMs
from tests.factories import new_database
from tests.runner.service.fakes import Crontab, Slow, Stage, Tool
from tests.runner.service.world import SETTINGS

Make = Callable[[Platform], Service]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    place = Home(tmp_path / "home")
    place.create()
    place.config.write_text(SETTINGS)
    new_database(place.db).close()
    return place


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Whoever runs the tests, at home in a temporary folder."""
    (tmp_path / "ada").mkdir()
    return Machine(
        system="Darwin",
        user="ada",
        uid=os.geteuid(),
        gid=os.getegid(),
        user_home=tmp_path / "ada",
        euid=os.geteuid(),
        program=tmp_path / "afk-runner",
        root=tmp_path / "root",
    )


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


@pytest.fixture
def launchctl(bin_folder: Path) -> Tool:
    return Tool(bin_folder, "launchctl")


@pytest.fixture
def systemctl(bin_folder: Path) -> Tool:
    return Tool(bin_folder, "systemctl")


@pytest.fixture
def crontab(bin_folder: Path) -> Crontab:
    return Crontab(bin_folder)


@pytest.fixture
def stage(home: Home, now: UnixMs) -> Iterator[Stage]:
    made = Stage(home)
    yield made
    made.leave()


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def make(home: Home, machine: Machine, slow: Slow) -> Make:
    """`make(Platform.LAUNCHD)` is what the verbs of the command line find, anew each time."""

    def found(platform: Platform) -> Service:
        patience = Patience(poll_s=3, sleep=slow.sleep, now=slow.now)
        return Service.find(home, platform, {}, machine=machine, patience=patience)

    return found
