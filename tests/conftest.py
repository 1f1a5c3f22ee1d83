"""What holds for every test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A busy machine makes no claim false, and every run tries the same examples: a change is judged by what it changes.
# `pytest --hypothesis-seed=N` tries others.
settings.register_profile("afk", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("afk")


SUPERVISORS = ("launchctl", "systemctl", "crontab")


@pytest.fixture(scope="session")
def reached(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file that names every call of this machine's own supervisor; instead of it stand programs that refuse."""
    folder = tmp_path_factory.mktemp("supervisors")
    calls = folder / "reached"
    for name in SUPERVISORS:
        (folder / name).write_text(f'#!/bin/sh\necho "{name} $*" >> "{calls}"\nexit 99\n')
        (folder / name).chmod(0o755)
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{folder}{os.pathsep}{before}"
    yield calls
    os.environ["PATH"] = before


@pytest.fixture(autouse=True)
def _no_real_supervisor(reached: Path) -> Iterator[None]:
    """A test that reached the real one could have ended somebody's service: it fails."""
    yield
    if reached.exists():
        calls = reached.read_text()
        reached.unlink()
        pytest.fail(f"the supervisor of this machine was called:\n{calls}")
