"""A home that is looked at, and tools of the system that say what a test wants."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from runner.doctor import children, upstreams
from runner.doctor.ask import ask
from runner.doctor.finding import Finding
from runner.doctor.look import Look
from runner.home import Home
from runner.settings import load
from runner.units import UnixMs
from tests.factories import new_database
from tests.runner.cli.world import SETTINGS

Tool = Callable[[str, str], None]


@pytest.fixture(autouse=True)
def _in_no_hurry(now: UnixMs, patient_doctor: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tool, an agent or an upstream that has to wait for a core of this machine is no dead one."""
    monkeypatch.setitem(ask.__kwdefaults__, "timeout_s", 60.0)
    monkeypatch.setattr(children, "VERSION_S", 60.0)
    monkeypatch.setattr(upstreams, "ASK_S", 60.0)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    place = Home(tmp_path / "home")
    place.create()
    place.config.write_text(SETTINGS)
    new_database(place.db).close()
    return place


@pytest.fixture
def look(home: Home, tmp_path: Path, now: UnixMs) -> Look:
    """Of a person with an empty environment, on Linux."""
    config = load(home.root, environ={})
    environ = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    return Look(home=home, environ=environ, now=now, config=config, tasks=config.tasks, platform="linux")


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tool:
    """`tool("pmset", "text")` puts a program of that name first on the PATH, which is then nearly all of it.

    Its text is a shell script, so that it can look at its arguments.
    """
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/bin")

    def put(name: str, script: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    return put


def levels(findings: list[Finding]) -> list[str]:
    return [finding.level.value for finding in findings]
