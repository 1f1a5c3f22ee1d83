"""Room on the disk, and what of it is ours."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from runner.doctor.finding import Finding, ok, warn
from runner.doctor.look import Look

LOW_BYTES = 200_000_000
"""Below this a busy day of logs and results may fill the disk, and then no call can be paid for."""
LOW_INODES = 2_000
"""A file an attempt: with fewer left the next night may end with a disk that says it is full and is not."""
MUCH_BYTES = 5_000_000_000
COUNT_S = 5.0


def disk(look: Look) -> Iterator[Finding]:
    """Free bytes, free files, and how much logs and results take."""
    root = look.home.root
    free = shutil.disk_usage(root).free
    text = f"{_size(free)} free at {root}"
    if free < LOW_BYTES:
        yield warn("disk", text, "make room; a full disk refuses every call")
    else:
        yield ok("disk", text)
    files = os.statvfs(root)
    if files.f_files and files.f_favail < LOW_INODES:  # some file systems count none
        text = f"only {files.f_favail} more files can be made at {root}, though there is room"
        yield warn("disk", text, "delete many small files; `df -i` names the disk")
    for folder in (look.home.logs, look.home.outputs, look.home.work):
        yield from _ours(folder, free)


def _ours(folder: Path, free: int) -> Iterator[Finding]:
    size, whole = _sum(folder, until=time.monotonic() + COUNT_S)
    if size > MUCH_BYTES or size > free:
        more = "" if whole else "at least "
        text = f"{folder} takes {more}{_size(size)}"
        yield warn("disk", text, "afk-runner prune --dry-run says what may go; move away what you want to keep")


def _sum(folder: Path, *, until: float) -> tuple[int, bool]:
    """Bytes below a folder, and whether all of it was counted in time."""
    total = 0
    for where, _, names in os.walk(folder, onerror=lambda _error: None):
        for name in names:
            try:
                total += os.lstat(os.path.join(where, name)).st_blocks * 512
            except OSError:
                continue
        if time.monotonic() > until:
            return total, False
    return total, True


def _size(count: int) -> str:
    return f"{count / 1_000_000:,.0f} MB"
