"""Room on the disk, and what of it is ours."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from runner.care.disk import FILES_LOW, low_bytes, room
from runner.doctor.finding import Finding, fail, ok, warn
from runner.doctor.look import Look
from runner.units import plural

SOON = 3
"""Less than so many times what parks the runner is worth a word today."""
MUCH_BYTES = 5_000_000_000
LITTLE_BYTES = 10_000_000
"""Letting go of less makes no room to speak of, however full the disk is."""
COUNT_S = 5.0


def disk(look: Look) -> Iterator[Finding]:
    """Free bytes, free files, and how much logs and results take."""
    root = look.home.root
    now = room(root)
    low = low_bytes(look.config.runner.disk_low_mb if look.config else None, now.size)
    text = f"{_size(now.free)} free at {root}"
    mend = f"make room; {look.command('prune --dry-run')} says what would go by itself"
    if now.free < low:
        yield fail("disk", f"{text}, and below {_size(low)} nothing is started", mend)
    elif now.free < SOON * low:
        yield warn("disk", f"{text}; below {_size(low)} nothing is started", mend)
    else:
        yield ok("disk", text)
    if now.files is not None and now.files < SOON * FILES_LOW:
        tell = fail if now.files < FILES_LOW else warn
        text = f"{plural(now.files, 'more file')} can be made at {root}, though there is room"
        yield tell("disk", text, "delete many small files; `df -i` names the disk")
    for folder in (look.home.logs, look.home.outputs, look.home.work):
        yield from _ours(folder, now.free)


def _ours(folder: Path, free: int) -> Iterator[Finding]:
    size, whole = _sum(folder, until=time.monotonic() + COUNT_S)
    if size > MUCH_BYTES or size > max(free, LITTLE_BYTES):
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
