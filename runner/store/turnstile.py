"""Two locks in a row that make write transactions of many processes take turns.

SQLite's busy handler polls, so beside a process that writes without pause a visitor waits for seconds. Whoever
wants to write takes lock A, then lock B, lets go of A, writes, lets go of B: while one writes, one stands next in
line, and the kernel wakes it. A kill lands within a millisecond on a busy home.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runner.errors import StoreBusy, StoreError


class Turnstile:
    """The pair of lock files beside one database. One process uses one object, one thread at a time."""

    def __init__(self, first: Path, second: Path) -> None:
        """Open or create both files. Raises OSError where they cannot be."""
        self._paths = (first, second)
        self._fds: tuple[int, int] | None = self._open()
        self._mine = threading.Lock()

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
        """Hold the turn for the body. Raises StoreBusy when it did not come within `timeout_s`, StoreError.

        0: does not wait, nor stand in line.
        """
        with self._mine:
            fds = self._files()
            if not _pass_at_once(*fds):
                if not timeout_s:
                    fcntl.flock(fds[0], fcntl.LOCK_UN)
                    raise StoreBusy("another process is writing to the database")
                self._wait(fds, timeout_s)
            try:
                yield
            finally:
                fcntl.flock(fds[1], fcntl.LOCK_UN)

    def _files(self) -> tuple[int, int]:
        if self._fds is None:
            try:
                self._fds = self._open()
            except OSError as error:
                raise StoreError(f"{error.filename} cannot be opened: {error.strerror}") from error
        return self._fds

    def _wait(self, fds: tuple[int, int], timeout_s: float) -> None:
        # flock cannot time out, and its holder may be a stopped process; so a thread waits, and may be left behind
        # with the pair of files it waits on.
        if _Wait(fds).passed(timeout_s):
            return
        self._fds = None
        raise StoreBusy(f"another process has been writing to the database for more than {timeout_s:g}s")

    def close(self) -> None:
        """Let go of both files."""
        for fd in self._fds or ():
            os.close(fd)
        self._fds = None


class _Wait:
    """A blocking wait in a thread of its own."""

    def __init__(self, fds: tuple[int, int]) -> None:
        self._fds = fds
        self._done = threading.Event()
        self._settle = threading.Lock()
        self._abandoned = False
        threading.Thread(target=self._run, name="turnstile", daemon=True).start()

    def _run(self) -> None:
        first, second = self._fds
        fcntl.flock(first, fcntl.LOCK_EX)
        fcntl.flock(second, fcntl.LOCK_EX)
        fcntl.flock(first, fcntl.LOCK_UN)
        with self._settle:
            if self._abandoned:
                os.close(first)
                os.close(second)
            else:
                self._done.set()

    def passed(self, timeout_s: float) -> bool:
        """True once the turn is ours; False gives it up for good."""
        if self._done.wait(timeout_s):
            return True
        with self._settle:
            self._abandoned = not self._done.is_set()
        return not self._abandoned


def _pass_at_once(first: int, second: int) -> bool:
    try:
        fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise StoreError(f"the turnstile beside the database cannot be locked: {error.strerror}") from error
    try:
        fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False  # keeps the first lock: next in line; the waiting thread shares it, as it shares the file
    fcntl.flock(first, fcntl.LOCK_UN)
    return True
