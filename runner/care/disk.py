"""Room on the home's volume: the runner parks while some is left, for on a full disk nothing can be written down."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

MB = 1_000_000
USUAL_LOW_MB = 200
FILES_LOW = 1_000
"""Inodes; each attempt, log and -wal file needs one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What a volume has left for us."""

    size: int
    """Bytes in all."""
    free: int
    """Bytes that we may still write."""
    files: int | None
    """Files that can still be made; None: the file system does not count them."""


def room(path: Path) -> Room:
    """How much room the volume of a path has. Raises OSError."""
    told = os.statvfs(path)
    files = told.f_favail if told.f_files else None
    return Room(size=told.f_blocks * told.f_frsize, free=told.f_bavail * told.f_frsize, files=files)


def low_bytes(low_mb: int | None, size: int) -> int:
    """Below how much free space a volume of that size is low. `low_mb`: as configured."""
    return low_mb * MB if low_mb is not None else min(USUAL_LOW_MB * MB, size // 10)


class DiskWatch:
    """Says when room gets short, and when there is enough again: half as much more than was short."""

    def __init__(self, path: Path, *, low_mb: int | None, measure: Callable[[Path], Room] = room) -> None:
        """`low_mb`: 0 never finds it short; None: by the size of the volume."""
        self._path = path
        self._low_mb = low_mb
        self._measure = measure
        self._short = False

    def look(self) -> str | None:
        """Why nothing should be started, as a sentence's worth of fact; None: there is room, or nobody can tell."""
        if self._low_mb == 0:
            return None
        try:
            now = self._measure(self._path)
        except OSError:
            return None  # the home itself cannot be looked at, which others notice
        wanted = low_bytes(self._low_mb, now.size)
        again = wanted * 3 // 2 if self._short else wanted
        few = FILES_LOW * 3 // 2 if self._short else FILES_LOW
        self._short = now.free < again or (now.files is not None and now.files < few)
        if not self._short:
            return None
        if now.free >= again:
            return f"the volume of {self._path} can hold only {now.files:,} more files"
        return (
            f"the volume of {self._path} has {now.free / MB:,.0f} MB free, and below {wanted / MB:,.0f} MB nothing is "
            f"started; it goes on by itself from {wanted * 3 / 2 / MB:,.0f} MB"
        )
