"""Where a drill has its home: a directory that a drill holds while it lives, and that the next one removes otherwise.

A drill that gets SIGKILL removes nothing and ends nobody. The lock in its directory is then free, and says so.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

from runner.home import Home
from runner.lock import holder_of

PREFIX = "afk-drill-"
LOCK = "drill.lock"
YOUNG_S = 60.0
"""A directory without a home may be one that is being made, or removed, at this moment."""
ENDS_WITHIN_S = 5.0


class Place:
    """One directory, held by this process."""

    def __init__(self, root: Path, fd: int) -> None:
        """`fd`: its lock, taken. See `make` and `left`."""
        self.root = root
        self.home = Home(root / "home")
        self._fd = fd

    @classmethod
    def make(cls) -> Self:
        """A new one below the system's directory for temporary files. Raises OSError."""
        root = Path(tempfile.mkdtemp(prefix=PREFIX))
        fd = os.open(root / LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        return cls(root, fd)

    @classmethod
    def left(cls, root: Path) -> Self | None:
        """One that a drill of ours left; None: it is held, or is none of ours. Raises OSError."""
        status = os.lstat(root)
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            return None
        if not (root / "home").exists() and time.time() - status.st_mtime < YOUNG_S:
            return None
        fd = os.open(root / LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        return cls(root, fd)

    def end_runner(self) -> None:
        """End the runner that works here, if one does, and wait until it is gone. What it started ends with it."""
        until = time.monotonic() + ENDS_WITHIN_S
        while (pid := holder_of(self.home.lock)) is not None and time.monotonic() < until:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)

    def remove(self) -> None:
        """Delete it with all that is in it, and let go of it."""
        shutil.rmtree(self.root, ignore_errors=True)
        os.close(self._fd)


def sweep() -> int:
    """Remove what drills left that could not do it themselves, with the runners in it; how many directories."""
    gone = 0
    for root in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            place = Place.left(root)
            if place is not None:
                place.end_runner()
                place.remove()
                gone += 1
    return gone
