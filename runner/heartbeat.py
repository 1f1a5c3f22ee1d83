"""The heartbeat outside the database: a small file, rewritten in place, that can tell what the database cannot.

On a full disk nothing can be added to the database; blocks a file has already can be written, and its times be set.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from runner.regular import read_regular
from runner.units import UnixMs

SIZE = 4096
"""Bytes, always: one block, and the file never grows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """What a runner last said outside the database."""

    at: UnixMs
    pid: int
    fault: str | None
    """Why it is parked although nobody stopped it."""
    asleep_s: float | None = None
    """How long the machine had slept by then since it was started; None: it cannot tell."""
    woke_at: UnixMs | None = None
    """When the runner last noticed that the machine woke."""


class HeartbeatFile:
    """The runner's end. Nothing here raises: a heart that cannot be heard still beats."""

    def __init__(self, path: Path) -> None:
        """Make or open the file. Only for the holder of the home's lock."""
        self._fd: int | None = None
        with suppress(OSError):
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self.beat(fault=None)

    def beat(self, *, fault: str | None, asleep_s: float | None = None, woke_at: UnixMs | None = None) -> None:
        """Say that the loop turns, and what is wrong."""
        if self._fd is None:
            return
        facts = {"pid": os.getpid(), "asleep_s": asleep_s, "woke_at": woke_at}
        told = json.dumps({**facts, "fault": fault and fault[: SIZE // 8]})  # a letter may take six bytes
        with suppress(OSError):
            os.pwrite(self._fd, told.encode().ljust(SIZE - 1) + b"\n", 0)
        with suppress(OSError):
            os.utime(self._fd)

    def close(self) -> None:
        """Let go of the file; it stays."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def last_beat(path: Path) -> Beat | None:
    """What the file says; None when it says nothing that can be read."""
    with suppress(OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        status, data = read_regular(path, limit=SIZE)
        told = json.loads(data)
        asleep, woke = told.get("asleep_s"), told.get("woke_at")
        return Beat(
            at=UnixMs(status.st_mtime_ns // 1_000_000),
            pid=int(told["pid"]),
            fault=None if told["fault"] is None else str(told["fault"]),
            asleep_s=None if asleep is None else float(asleep),
            woke_at=None if woke is None else UnixMs(int(woke)),
        )
    return None
