"""Two locks in a row that make write transactions of many processes take turns.

SQLite's busy handler polls, so beside a process that writes without pause a visitor waits for seconds. Whoever
wants to write takes lock A, then lock B, lets go of A, writes, lets go of B: while one writes, one stands next in
line, and looks for its turn every few tens of microseconds. A kill lands within a few milliseconds on a busy home.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runner.errors import StoreBusy, StoreError

SOON_S = 0.02
"""No transaction should take longer; who is next in line looks again and again so long, for a thread costs as much as
ten looks."""
FIRST_S = 0.001
"""The same where somebody else is next in line: of those that look any may be lucky, but threads wait in turn."""
LOOK_S, LONGEST_LOOK_S = 0.00003, 0.0001
"""Between two looks, at first and at most; it doubles, for each look costs as much as a small write's statements."""


class Turnstile:
    """The pair of lock files beside one database. One process uses one object, one thread at a time."""

    def __init__(self, first: Path, second: Path) -> None:
        """Open or create both files. Raises OSError where they cannot be."""
        self._paths = (first, second)
        self._fds: tuple[int, int] | None = self._open()
        self._mine = threading.Lock()
        self._left: _Wait | None = None
        """A wait that was given up and is still under way: the next turn joins it."""
        self._second = -1
        """The lock that is held while it is our turn."""

    def _open(self) -> tuple[int, int]:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        first = os.open(self._paths[0], flags, 0o600)
        try:
            return first, os.open(self._paths[1], flags, 0o600)
        except OSError:
            os.close(first)
            raise

    @contextmanager
    def turn(self, timeout_s: float) -> Iterator[None]:
        """Hold the turn for the body. Raises as `take` does."""
        self.take(timeout_s)
        try:
            yield
        finally:
            self.release()

    def take(self, timeout_s: float) -> None:
        """Wait for the turn, to be given back with `release`. A wait of up to `SOON_S` starts no thread.

        Raises StoreBusy when it did not come within `timeout_s`, StoreError; then there is nothing to release.
        """
        self._mine.acquire()
        try:
            fds = self._files()
            if self._left is not None and self._left.wanted():
                self._join(self._left, timeout_s)
            elif timeout_s <= SOON_S:
                if not _pass_soon(*fds, first_s=timeout_s, within_s=timeout_s):
                    fcntl.flock(fds[0], fcntl.LOCK_UN)
                    raise StoreBusy("another process is writing to the database")
            elif not _pass_soon(*fds, first_s=FIRST_S, within_s=SOON_S):
                self._wait(fds, timeout_s)
        except BaseException:
            self._mine.release()
            raise
        self._second = fds[1]

    def release(self) -> None:
        """Let the next one write."""
        try:
            fcntl.flock(self._second, fcntl.LOCK_UN)
        finally:
            self._mine.release()

    def _files(self) -> tuple[int, int]:
        if self._fds is None:
            try:
                self._fds = self._open()
            except OSError as error:
                raise StoreError(f"{error.filename} cannot be opened: {error.strerror}") from error
        return self._fds

    def _wait(self, fds: tuple[int, int], timeout_s: float) -> None:
        # flock cannot time out, and its holder may be a stopped process; so a thread waits, and may be left behind.
        self._join(_Wait(fds), timeout_s)

    def _join(self, wait: _Wait, timeout_s: float) -> None:
        self._left = None
        if wait.passed(timeout_s):
            return
        self._left = wait
        raise StoreBusy(f"another process has been writing to the database for more than {timeout_s:g}s")

    def close(self) -> None:
        """Let go of both files."""
        if self._fds is not None and (self._left is None or not self._left.leave()):
            _close(self._fds)
        self._fds, self._left = None, None


class _Wait:
    """A blocking wait in a thread of its own. While it is under way nobody else may touch its files."""

    def __init__(self, fds: tuple[int, int]) -> None:
        self._fds = fds
        self._settle = threading.Lock()
        self._ours = threading.Event()
        self._wanted = True
        """Somebody stands here for the turn; if not, it is let go as it comes."""
        self._orphaned = False
        """The files are the thread's to close."""
        self.over = False
        threading.Thread(target=self._run, name="turnstile", daemon=True).start()

    def _run(self) -> None:
        first, second = self._fds
        try:
            fcntl.flock(first, fcntl.LOCK_EX)
            fcntl.flock(second, fcntl.LOCK_EX)
            fcntl.flock(first, fcntl.LOCK_UN)
        except OSError:  # the next who looks at once is told
            with self._settle:
                self._end()
            return
        with self._settle:
            if self._wanted:
                self._ours.set()
            else:
                fcntl.flock(second, fcntl.LOCK_UN)
            self._end()

    def _end(self) -> None:
        self.over = True
        if self._orphaned:
            _close(self._fds)

    def wanted(self) -> bool:
        """Stand here for the turn; False when it is over, having come and gone."""
        with self._settle:
            self._wanted = not self.over
            return self._wanted

    def passed(self, timeout_s: float) -> bool:
        """True once the turn is ours, which must be `wanted`; False leaves it under way."""
        self._ours.wait(timeout_s)
        with self._settle:
            self._wanted = False
            return self._ours.is_set()

    def leave(self) -> bool:
        """Leave the files to the thread; False when it is over, and they are not its any more."""
        with self._settle:
            self._orphaned = not self.over
            return self._orphaned


def _close(fds: tuple[int, int]) -> None:
    for fd in fds:
        os.close(fd)


def _pass_soon(first: int, second: int, *, first_s: float, within_s: float) -> bool:
    """Take the turn if those before us let go of it within a moment; False leaves the first lock as it is.

    `first_s`: how long to look for the first lock, which somebody has who is next in line.
    """
    start, wait_s = time.monotonic(), LOOK_S
    for lock, most_s in ((first, first_s), (second, within_s)):
        while not _take(lock):
            if time.monotonic() >= start + most_s:
                return False  # keeps the first lock: next in line; the waiting thread shares it, as it shares the file
            time.sleep(wait_s)
            wait_s = min(2 * wait_s, LONGEST_LOOK_S)
    fcntl.flock(first, fcntl.LOCK_UN)
    return True


def _take(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise StoreError(f"the turnstile beside the database cannot be locked: {error.strerror}") from error
    return True
