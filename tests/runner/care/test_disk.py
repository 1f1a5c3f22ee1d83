"""Room: parked below the limit, on again only with half as much more."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.care.disk import MB, DiskWatch, Room, low_bytes, room


class Volume:
    """A disk whose room a test sets."""

    def __init__(self) -> None:
        self.now = Room(size=100_000 * MB, free=90_000 * MB, files=None)

    def measure(self, _: Path) -> Room:
        return self.now

    def has(self, free_mb: int, *, files: int | None = None) -> None:
        self.now = Room(size=100_000 * MB, free=free_mb * MB, files=files)


@pytest.fixture
def volume() -> Volume:
    return Volume()


def watch(volume: Volume, low_mb: int | None = 200) -> DiskWatch:
    return DiskWatch(Path("/home/ada/.afk"), low_mb=low_mb, measure=volume.measure)


def test_it_is_short_below_the_limit_and_until_there_is_half_as_much_more(volume: Volume) -> None:
    """Pruning a little at the edge must not start and stop the work every few seconds."""
    disk = watch(volume)
    told = []
    for free in (201, 200, 199, 201, 299, 300, 299, 201, 199):
        volume.has(free)
        told.append(disk.look() is None)

    assert told == [True, True, False, False, False, True, True, True, False]


def test_it_says_how_much_there_is_and_when_it_goes_on(volume: Volume) -> None:
    volume.has(120)

    said = watch(volume).look()

    assert said is not None
    assert "120 MB free" in said
    assert "from 300 MB" in said


def test_a_volume_out_of_inodes_is_short_too(volume: Volume) -> None:
    volume.has(90_000, files=900)
    disk = watch(volume)

    assert "900 more files" in (disk.look() or "")
    volume.has(90_000, files=1_400)
    assert disk.look() is not None
    volume.has(90_000, files=1_500)
    assert disk.look() is None


def test_zero_is_never_short_and_a_small_volume_has_a_small_limit(volume: Volume) -> None:
    volume.has(0)

    assert watch(volume, 0).look() is None
    assert low_bytes(None, 1_000_000 * MB) == 200 * MB
    assert low_bytes(None, 1_000 * MB) == 100 * MB
    assert low_bytes(50, 1_000 * MB) == 50 * MB


def test_what_cannot_be_looked_at_is_not_short(tmp_path: Path) -> None:
    """A home that is gone is told of elsewhere."""
    assert DiskWatch(tmp_path / "gone", low_mb=1).look() is None
    assert room(tmp_path).size >= room(tmp_path).free > 0
