"""What a worker prints: to one file an attempt, with a limit, and its end onto the attempt's row."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from runner.redact import Passing, Redactor

FILE_LIMIT = 10_000_000
"""Bytes kept of one attempt's output."""
TAIL_LIMIT = 4_000
"""Bytes of its end kept on the row."""
CHUNK = 65_536
FLOOD_PAUSE_S = 0.002
"""Past the file's limit output is only thrown away, and not faster than a chunk in this time: an endless flood then
costs the event loop a few hundredths of a core, and one of 50 MB ends in seconds."""


class Capture:
    """The read end of one worker's standard output and error, read as it comes and never waited for."""

    def __init__(self, fd: int, redactor: Redactor) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._passing = Passing(redactor)
        self._window = TAIL_LIMIT + redactor.longest
        self._loop = asyncio.get_running_loop()
        self._place: Callable[[], Path] | None = None
        self._file: BinaryIO | None = None
        self._written = 0
        self._printed = 0
        """Bytes it printed in all."""
        self._tail = bytearray()
        self._flood = bytearray()
        """Past the file's limit: the newest output with its secrets, at least a window of it."""
        self._flooded = 0
        """Bytes that went through there."""
        self._resume: asyncio.TimerHandle | None = None
        self._loop.add_reader(fd, self._readable)

    def begin(self, place: Callable[[], Path]) -> None:
        """From now on it is another attempt's output. `place` is asked, and its file made, with the first byte."""
        self._place = place
        self._forget()

    def _forget(self) -> None:
        if self._printed:  # most jobs print nothing
            self._written = self._printed = self._flooded = 0
            self._passing.rest()
            self._tail.clear()
            self._flood.clear()

    def end(self) -> str:
        """Take what is still in the pipe, close the file; the tail, free of secrets."""
        for _ in range(256):  # a process that goes on printing must not keep us here
            if not self._take():
                break
        if not self._printed:
            self._place = None
            return ""
        self._ebb()
        self._keep(self._passing.rest())  # of a secret too, printed by somebody who was ended before its end
        if self._file is not None:
            self._file.close()
            self._file = None
        self._place = None
        tail, printed = bytes(self._tail).decode("utf-8", "replace").replace("\0", "\\0"), self._printed
        whole = self._written <= FILE_LIMIT and not self._flooded
        self._forget()
        if whole:
            return tail
        line_end = "" if tail.endswith("\n") else "\n"
        return f"{tail}{line_end}[{printed:,} bytes were printed; only the first {FILE_LIMIT:,} are in its file]"

    def close(self) -> None:
        """Let go of the pipe."""
        if self._resume is not None:
            self._resume.cancel()
        self._loop.remove_reader(self._fd)
        os.close(self._fd)

    def _readable(self) -> None:
        if self._take() and self._written >= FILE_LIMIT:
            self._loop.remove_reader(self._fd)
            self._resume = self._loop.call_later(FLOOD_PAUSE_S, self._loop.add_reader, self._fd, self._readable)

    def _take(self) -> bool:
        """Read one chunk; False when there is none now."""
        try:
            chunk = os.read(self._fd, CHUNK)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            chunk = b""
        if not chunk:
            self._loop.remove_reader(self._fd)
            return False
        self._printed += len(chunk)
        if self._written < FILE_LIMIT:
            self._keep(self._passing.take(chunk))
        else:
            self._throw_away(chunk)
        return True

    def _throw_away(self, chunk: bytes) -> None:
        """Keep no more than may become the tail: looking through all of a flood for secrets is what makes it slow."""
        self._flooded += len(chunk)
        self._flood += chunk
        if len(self._flood) > 2 * CHUNK:
            del self._flood[: -self._window]

    def _ebb(self) -> None:
        """The flood is over: take the secrets out of its end."""
        if self._flooded == len(self._flood):
            self._keep(self._passing.take(bytes(self._flood)))
            return
        self._passing.rest()
        self._tail.clear()
        # The window may begin in the middle of a secret, and what is left of that one looks like none.
        clean = self._passing.take(bytes(self._flood[-self._window :])) + self._passing.rest()
        self._keep(clean[self._window - TAIL_LIMIT :])

    def _keep(self, chunk: bytes) -> None:
        """Add output that is free of secrets to tail and file."""
        self._tail += chunk
        del self._tail[:-TAIL_LIMIT]
        room = FILE_LIMIT - self._written
        if self._place is None or not chunk or room <= 0:
            return
        with suppress(OSError):  # a full disk must not cost the attempt; its tail is on the row
            if self._file is None:
                path = self._place()
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
                self._file = os.fdopen(fd, "wb", buffering=0)
            self._file.write(chunk[:room])
            self._written += len(chunk)
            if self._written >= FILE_LIMIT:
                self._file.write(f"\n[output beyond {FILE_LIMIT:,} bytes was not kept]\n".encode())
