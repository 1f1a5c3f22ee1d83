"""How the last starts of a supervised runner went, in a small file beside the database: the guard against a crash loop.

A file of its own, because a broken database may be why it crashes. One that cannot be read trips nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from runner.regular import read_regular
from runner.units import MINUTE_MS, UnixMs

UNCLEAN = 5
WITHIN_MS = 10 * MINUTE_MS
"""After so many starts without an orderly end within this time the next one parks."""
KEEP = 20
MOST_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One start under a supervisor."""

    at: UnixMs
    pid: int
    clean: bool = False
    """It ended because it was asked to, was refused or was frozen; False while it runs."""


class Starts:
    """The file of one home. Only the holder of the home's lock writes it, and whoever clears it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self, *, now: UnixMs) -> None:
        """Write this process's start down, and trip when too many before it ended badly. Raises nothing."""
        starts, tripped_at = self._read()
        if tripped_at is None and unclean(starts, now=now) >= UNCLEAN:
            tripped_at = now
        self._write([*starts, Start(at=now, pid=os.getpid())][-KEEP:], tripped_at)

    def end_cleanly(self) -> None:
        """This process ends as it should. Raises nothing."""
        starts, tripped_at = self._read()
        if starts and starts[-1].pid == os.getpid():
            self._write([*starts[:-1], Start(at=starts[-1].at, pid=os.getpid(), clean=True)], tripped_at)

    def excuse_last(self) -> None:
        """The start before this process's own did not crash: what ended it came from outside. Raises nothing."""
        starts, tripped_at = self._read()
        if len(starts) > 1 and starts[-1].pid == os.getpid():
            self._write([*starts[:-2], replace(starts[-2], clean=True), starts[-1]], tripped_at)

    def excuse(self, pids: Collection[int]) -> None:
        """The last start, if it was of one of these, did not crash: a person ended it. Raises nothing.

        For who holds the home's lock after it. Earlier starts stay as they are: in a container all have one pid.
        """
        starts, tripped_at = self._read()
        if starts and starts[-1].pid in pids:
            self._write([*starts[:-1], replace(starts[-1], clean=True)], tripped_at)

    def tripped_at(self) -> UnixMs | None:
        """Since when every start parks; None: none does."""
        return self._read()[1]

    def clear(self) -> bool:
        """Forget what was; False when nothing had tripped. Raises OSError when the file cannot be removed."""
        tripped = self.tripped_at() is not None
        self._path.unlink(missing_ok=True)
        return tripped

    def _read(self) -> tuple[list[Start], UnixMs | None]:
        with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            _, data = read_regular(self._path, limit=MOST_BYTES)
            told = json.loads(data)
            tripped_at = told["tripped_at"]
            starts = [
                Start(at=UnixMs(int(one["at"])), pid=int(one["pid"]), clean=bool(one["clean"]))
                for one in told["starts"]
            ]
            return starts, None if tripped_at is None else UnixMs(int(tripped_at))
        return [], None

    def _write(self, starts: list[Start], tripped_at: UnixMs | None) -> None:
        told = {"tripped_at": tripped_at, "starts": [asdict(start) for start in starts]}
        # Beside it and then over it: who is killed while it writes leaves the old one.
        draft = self._path.with_name(self._path.name + ".new")
        with suppress(OSError):
            fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(fd, "w", encoding="ascii") as file:
                file.write(json.dumps(told) + "\n")
            os.replace(draft, self._path)


def unclean(starts: list[Start], *, now: UnixMs) -> int:
    """How many of them, lately, did not end as they should. Starts of a time that is yet to come count as well."""
    return sum(not start.clean and start.at > now - WITHIN_MS for start in starts)
