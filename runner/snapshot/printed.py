"""What an attempt printed: the end of its file, which grows while it runs. Free of secrets already."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from runner.regular import open_regular

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
        with open_regular(path) as (fd, status):
            text = os.pread(fd, MOST, max(0, status.st_size - MOST)).decode("utf-8", "replace")
    except OSError:
        return None
    if status.st_size > MOST and "\n" in text.rstrip("\n"):
        text = text.partition("\n")[2]
    return Printed(n=n, path=str(path), size=status.st_size, text=text)
