"""The file launchd appends to grows for as long as nobody empties it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runner.service import bootlog


@pytest.mark.parametrize(
    ("supervisor", "size", "kept"),
    [("launchd", bootlog.MOST_BYTES + 1, False), ("launchd", 10, True), ("systemd", bootlog.MOST_BYTES + 1, True)],
)
def test_it_is_emptied_at_a_start_once_it_has_grown(supervisor: str, size: int, kept: bool, tmp_path: Path) -> None:
    """Only launchd's: what another one writes to is somebody else's to keep."""
    log = tmp_path / "boot.log"
    log.write_bytes(b"x" * size)
    fd = os.open(log, os.O_WRONLY | os.O_APPEND)

    bootlog.begin(supervisor, fd=fd)
    os.close(fd)

    text = log.read_text()
    assert text.startswith("x") is kept
    assert text.endswith(f"afk-runner starts, pid {os.getpid()}\n")


def test_a_runner_of_nobody_says_nothing(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)

    bootlog.begin("none", fd=fd)
    os.close(fd)
    bootlog.begin("launchd", fd=fd)  # closed: nothing is raised

    assert (tmp_path / "log").read_text() == ""
