"""The heartbeat outside the database: what a runner can say when it cannot write there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runner.heartbeat import SIZE, HeartbeatFile, last_beat


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "heartbeat"


def test_what_was_said_is_read_back(path: Path) -> None:
    heart = HeartbeatFile(path)
    heart.beat(fault="the database cannot be written: the disk is full")
    heart.close()

    beat = last_beat(path)

    assert beat is not None
    assert (beat.pid, beat.fault) == (os.getpid(), "the database cannot be written: the disk is full")


def test_the_file_never_grows(path: Path) -> None:
    """Whatever is said, in whatever script, by whichever runner."""
    for fault in (None, "x" * 9_000, "\N{SNOWMAN}" * 9_000, '"\\\x01' * 5_000):
        heart = HeartbeatFile(path)
        heart.beat(fault=fault)
        heart.close()
        assert path.stat().st_size == SIZE
        beat = last_beat(path)
        assert beat is not None
        assert (beat.fault or "")[:50] == (fault or "")[:50]


def test_only_its_owner_reads_it(path: Path) -> None:
    HeartbeatFile(path).close()

    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("words", [b"", b"no json", b"[]", b'{"pid": "x", "fault": null}', b'{"pid": 1}', b"\xff"])
def test_a_file_that_says_nothing_sensible_is_no_heartbeat(path: Path, words: bytes) -> None:
    path.write_bytes(words)

    assert last_beat(path) is None


def test_a_runner_that_cannot_have_the_file_goes_on(path: Path) -> None:
    path.mkdir()
    heart = HeartbeatFile(path)
    heart.beat(fault=None)
    heart.close()

    assert last_beat(path) is None
