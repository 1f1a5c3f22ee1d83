"""What an attempt printed: the end of its file, which grows while it runs. Free of secrets already."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

MOST = 16_000
"""Bytes of the end that are read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Printed:
    """The end of one attempt's output."""

    n: int
    """Of the attempt."""
    path: str
    """Of the file with all of it."""
    size: int
    """Bytes in the file."""
    text: str
    """Whole lines, unless one line is longer than what is read."""


def printed(path: Path, n: int) -> Printed | None:
    """The end of the file; None when there is none that can be read: nothing was printed, or it was pruned."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            return None
        text = os.pread(fd, MOST, max(0, status.st_size - MOST)).decode("utf-8", "replace")
    except OSError:
        return None
    finally:
        os.close(fd)
    if status.st_size > MOST and "\n" in text.rstrip("\n"):
        text = text.partition("\n")[2]
    return Printed(n=n, path=str(path), size=status.st_size, text=text)
