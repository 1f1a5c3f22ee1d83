"""The small file launchd appends our first words to: it is never rotated by anybody, so it is emptied at a start."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress

from runner.units import SystemClock, iso

MOST_BYTES = 1_000_000


def begin(supervisor: str, *, fd: int = 2) -> None:
    """Say that a start was made, as the first act of a supervised runner; empty the file first when it has grown.

    Nothing here raises. Only launchd's file is emptied: it is ours alone, and opened for appending.
    """
    if supervisor == "none":
        return
    with suppress(OSError, ValueError):
        status = os.fstat(fd)
        if supervisor == "launchd" and stat.S_ISREG(status.st_mode) and status.st_size > MOST_BYTES:
            os.ftruncate(fd, 0)
        sys.stderr.flush()
        os.write(fd, f"{iso(SystemClock().now())} afk-runner starts, pid {os.getpid()}\n".encode())
