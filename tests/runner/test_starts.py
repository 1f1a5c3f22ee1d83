"""The guard against a crash loop: what it counts, what trips it, and that it never trips by accident."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from runner.starts import KEEP, UNCLEAN, WITHIN_MS, Starts
from runner.units import UnixMs
from tests.factories import NOW


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "starts.json"


def crash(starts: Starts, times: int, *, first: int = NOW, apart_ms: int = 1_000) -> int:
    """Start so often and never end; when the next one would be."""
    for n in range(times):
        starts.begin(now=UnixMs(first + n * apart_ms))
    return first + times * apart_ms


def test_the_start_after_five_crashes_trips_it(path: Path) -> None:
    starts = Starts(path)
    after = crash(starts, UNCLEAN)
    assert starts.tripped_at() is None

    starts.begin(now=UnixMs(after))

    assert starts.tripped_at() == after


def test_an_orderly_end_does_not_count(path: Path) -> None:
    starts = Starts(path)
    for n in range(3 * UNCLEAN):
        starts.begin(now=UnixMs(NOW + n))
        starts.end_cleanly()

    starts.begin(now=UnixMs(NOW + 100))

    assert starts.tripped_at() is None


def test_crashes_that_are_far_apart_do_not_trip_it(path: Path) -> None:
    starts = Starts(path)

    crash(starts, 4 * UNCLEAN, apart_ms=WITHIN_MS // UNCLEAN)

    assert starts.tripped_at() is None


def test_it_stays_tripped_until_a_person_clears_it(path: Path) -> None:
    """Also over a restart of the machine, days later."""
    starts = Starts(path)
    crash(starts, UNCLEAN + 1)
    starts.end_cleanly()

    Starts(path).begin(now=UnixMs(NOW + 100 * WITHIN_MS))
    assert Starts(path).tripped_at() is not None

    assert Starts(path).clear() is True
    assert Starts(path).tripped_at() is None
    assert Starts(path).clear() is False


@pytest.mark.parametrize(
    "words",
    [b"", b"null", b"[]", b'{"starts": 5}', b'{"tripped_at": "soon", "starts": []}', b'{"tripped_at": 1}', b"\xff\0"],
)
def test_a_file_that_cannot_be_read_trips_nothing(path: Path, words: bytes) -> None:
    path.write_bytes(words)
    starts = Starts(path)
    assert starts.tripped_at() is None

    starts.begin(now=UnixMs(NOW))

    assert starts.tripped_at() is None
    assert [one["pid"] for one in json.loads(path.read_text())["starts"]] == [os.getpid()]


def test_a_place_that_cannot_be_written_hinders_no_start(tmp_path: Path) -> None:
    starts = Starts(tmp_path / "gone" / "starts.json")

    crash(starts, 2 * UNCLEAN)
    starts.end_cleanly()

    assert starts.tripped_at() is None


def test_the_file_stays_small_and_private(path: Path) -> None:
    starts = Starts(path)

    crash(starts, 5 * KEEP, apart_ms=WITHIN_MS)

    assert len(json.loads(path.read_text())["starts"]) == KEEP
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_start_that_could_not_help_its_end_is_excused_by_the_next(path: Path) -> None:
    """However often a machine is frozen, nothing parks for it; the one that excuses counts itself."""
    starts = Starts(path)
    for n in range(3 * UNCLEAN):
        starts.begin(now=UnixMs(NOW + n))
        starts.excuse_last()

    assert starts.tripped_at() is None
    assert [one["clean"] for one in json.loads(path.read_text())["starts"]] == [True] * (3 * UNCLEAN - 1) + [False]


def test_who_is_not_under_a_supervisor_excuses_nobody(path: Path) -> None:
    told = {"tripped_at": None, "starts": [{"at": NOW, "pid": os.getpid() + n, "clean": False} for n in (1, 2)]}
    path.write_text(json.dumps(told))

    Starts(path).excuse_last()

    assert json.loads(path.read_text()) == told


def test_only_its_own_start_is_marked(path: Path) -> None:
    """A start of another process, as of one that was cleared meanwhile, is left as it is."""
    told = {"tripped_at": None, "starts": [{"at": NOW, "pid": os.getpid() + 1, "clean": False}]}
    path.write_text(json.dumps(told))

    Starts(path).end_cleanly()

    assert json.loads(path.read_text()) == told
