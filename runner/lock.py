"""Who holds the home: an flock held for life. The kernel lets go of it when its process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from runner.errors import StoreError

GLANCE_S = 0.2
"""A screen looks at the lock by taking a shared one for an instant; whoever starts waits that out."""


_OURS: set[tuple[int, int]] = set()
"""Device and inode of the locks that this process holds. Pids in the files do not tell: containers count alike."""


class HomeLock:
    """The lock file of a home. It is never deleted: a deleted lock can be held twice."""

    def __init__(self, path: Path) -> None:
        """Open the file. Raises StoreError."""
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise StoreError(f"the lock file {path} cannot be opened: {error.strerror}") from error
        self._path = path
        self._taken = False

    def take(self) -> bool:
        """Take it for this process; False when another one has it."""
        deadline = time.monotonic() + GLANCE_S
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    return False
                time.sleep(0.01)
        _OURS.add(_identity(self._fd))
        self._taken = True
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)
        return True

    def holder(self) -> str:
        """The pid the holder wrote down, for sentences only."""
        text = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip()
        return text if text.isdigit() else "unknown"

    def close(self) -> None:
        """Let go."""
        if self._taken:
            _OURS.discard(_identity(self._fd))
        os.close(self._fd)


def holder_of(lock: Path) -> int | None:
    """The pid of the process of this machine that holds the lock; None when nobody does or it cannot be told.

    Who holds it lives, so the pid it wrote down is its own. On Linux the kernel must agree: a container may share the
    file and count its pids from one.
    """
    try:
        text = lock.read_text("ascii", "replace").split("\n", 1)[0]
        inode = os.stat(lock).st_ino
    except OSError:
        return None
    if not text.isdigit() or not lock_is_held(lock):
        return None
    words = kernel_locks()
    if words is None:
        return int(text)  # no Linux: no pids of another kind
    # Source: proc_locks(5): "1: FLOCK  ADVISORY  WRITE 4121 08:01:131141 0 EOF"
    named = any(word[1] == "FLOCK" and word[4] == text and word[5].rpartition(":")[2] == str(inode) for word in words)
    return int(text) if named else None


def kernel_locks() -> list[list[str]] | None:
    """The words of each lock that is held, without those who wait for one; None where the kernel does not tell."""
    try:
        held = Path("/proc/locks").read_text("ascii", "replace").splitlines()
    except OSError:
        return None
    return [words for line in held if len(words := line.split()) >= 8 and words[1] != "->"]


def held_by_another(lock: Path) -> bool:
    """Whether some other process holds the home."""
    try:
        ours = _identity(lock) in _OURS
    except OSError:
        return False
    return not ours and lock_is_held(lock)


def _identity(lock: Path | int) -> tuple[int, int]:
    status = os.stat(lock)
    return status.st_dev, status.st_ino


def lock_is_held(lock: Path) -> bool:
    """Whether some runner holds the home. Looks by taking a shared lock for an instant."""
    try:
        fd = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(fd)
    return False
