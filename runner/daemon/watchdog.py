"""The watchdog: ends this process when its loop has stood still for too long, and leaves where it stood.

It works below Python, so that neither a blocking call nor a regular expression that holds the interpreter hinders it.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import re
import signal
import sysconfig
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from runner.heartbeat import Beat

KEEP = 5
"""Dumps of earlier stalls that are kept."""
ARM_S = 1.0
ARMED = 20
"""Times it is armed anew in the time a stall may take, if that is not more often than each `ARM_S`: arming waits for a
thread of the system, for milliseconds on a busy machine, and the loop with it."""
LATE_S = 5.0
"""By how much more than its time a timer of a process that turns may be off, counted from its last heartbeat."""
MOST_BYTES = 256 * 1024
LATER = bool(sysconfig.get_config_var("HAVE_SEM_CLOCKWAIT"))
"""Whether Python's own timer runs on the monotonic clock. Where it waits on the wall clock (macOS, builds for an old
libc) a machine that slept would be ended each time it wakes, so there the system's timer sends a signal instead."""

_FRAME = re.compile(r'^  File "(?P<file>[^"\n]*)", line (?P<line>\d+) in (?P<name>.+)$', re.MULTILINE)


class Watchdog:
    """Armed anew by every turn of the loop."""

    def __init__(self, folder: Path, *, stall_s: float, later: bool = LATER) -> None:
        """`folder` takes the dump. `stall_s`: a loop that stands still for longer is ended."""
        self._stall_s = stall_s
        self._arm_s = max(ARM_S, stall_s / ARMED)
        self._later = later
        self._armed_at = float("-inf")
        _keep_apart(folder)
        try:
            fd = os.open(_dump(folder), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError:
            fd = os.dup(2)  # whoever started us hears it then
        self._file = os.fdopen(fd, "wb", buffering=0)
        if not later:
            libc = ctypes.CDLL(None)
            libc.signal.argtypes, libc.signal.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_void_p
            # After the dump it goes on to `_exit`: left to itself it would not end the first process of a container.
            libc.signal(signal.SIGALRM, ctypes.cast(libc._exit, ctypes.c_void_p))
            faulthandler.register(signal.SIGALRM, file=self._file, all_threads=True, chain=True)

    def arm(self) -> None:
        """The loop turned."""
        now = time.monotonic()
        if now - self._armed_at < self._arm_s:
            return
        self._armed_at = now
        if self._later:
            faulthandler.dump_traceback_later(self._stall_s, exit=True, file=self._file)
        else:
            signal.setitimer(signal.ITIMER_REAL, self._stall_s)

    @property
    def thawed(self) -> bool:
        """The loop turns, and its time ran out long ago: it was frozen with all of this process, and did not hang."""
        return time.monotonic() - self._armed_at > self._stall_s + LATE_S

    def close(self) -> None:
        """Watch no more."""
        if self._later:
            faulthandler.cancel_dump_traceback_later()
        else:
            signal.setitimer(signal.ITIMER_REAL, 0)
            faulthandler.unregister(signal.SIGALRM)
        self._file.close()


@dataclass(frozen=True, slots=True)
class Stall:
    """What is left of a runner whose loop stood still."""

    dump: Path
    """Where its stacks will be kept."""
    where: str
    """Where it hung, the innermost call first."""
    frozen: bool = False
    """Nothing hung: the whole process stood still."""


def last_stall(
    folder: Path, *, beat: Beat | None = None, asleep_s: float | None = None, stall_s: float = float("inf")
) -> Stall | None:
    """How the last runner was ended, if a watchdog ended it; until another one watches.

    `beat`: its last one outside the database. `asleep_s`: how long the machine has slept until now. `stall_s`: after
    how long a loop that stands still is ended; one that went on much later had been frozen, wherever it was then.
    """
    path = _dump(folder)
    try:
        with path.open("rb") as file:
            at_s, text = int(os.fstat(file.fileno()).st_mtime), file.read(MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return None
    if not text.strip():
        return None
    stall = _read(text, _kept(folder, at_s))
    awake = beat is not None and asleep_s is not None and asleep_s - (beat.asleep_s or 0.0) < LATE_S
    late = beat is not None and at_s - beat.at / 1000 > stall_s + LATE_S
    return replace(stall, frozen=True) if awake and late else stall


def _dump(folder: Path) -> Path:
    return folder / "stall.txt"


def _kept(folder: Path, at_s: int) -> Path:
    return folder / f"stall-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(at_s))}.txt"


def _keep_apart(folder: Path) -> None:
    """Move the last dump away, and delete the oldest."""
    with suppress(OSError):
        status = _dump(folder).stat()
        if status.st_size:
            _dump(folder).rename(_kept(folder, int(status.st_mtime)))
    for old in sorted(folder.glob("stall-*.txt"))[:-KEEP]:
        with suppress(OSError):
            old.unlink()


def _read(text: str, kept: Path) -> Stall:
    """The innermost calls of the thread that ran the loop: it began first and is dumped last."""
    blocks = re.split(r"\n(?=(?:Current t|T)hread 0x)", text)
    threads = [[_Frame(*found.group("file", "line", "name")) for found in _FRAME.finditer(block)] for block in blocks]
    loops = [frames for frames in threads if any(frame.name == "run_forever" for frame in frames)]
    frames = next(reversed(loops), threads[-1])
    if not frames:
        return Stall(kept, "somewhere the dump does not show")
    idle = bool(loops) and frames[0].waits
    if idle:  # a loop whose database gives no answer turns, and is ended all the same
        writing = next((thread for thread in threads if _is_writing(thread)), None)
        frames, idle = writing or frames, writing is None
    where = " < ".join(f"{frame.name} ({frame.short}:{frame.line})" for frame in frames[:3])
    return Stall(kept, where, frozen=idle)


@dataclass(frozen=True, slots=True)
class _Frame:
    file: str
    line: str
    name: str

    @property
    def short(self) -> str:
        return "/".join(Path(self.file).parts[-2:])

    @property
    def waits(self) -> bool:
        """It is the loop itself, which waits for what comes next."""
        return self.file.endswith("/selectors.py") or self.short == "asyncio/base_events.py"


def _is_writing(thread: list[_Frame]) -> bool:
    """Whether it is the thread that writes the database, and has something to write."""
    return any(frame.short == "store/writer.py" and frame.name == "_run" for frame in thread[1:])
