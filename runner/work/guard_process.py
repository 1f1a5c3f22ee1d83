"""The runner's end of the guard: started before the first worker, started again if somebody ends it."""

from __future__ import annotations

import asyncio
import os
import select
import subprocess
import sys
import time
from contextlib import suppress

from runner.errors import RunnerError
from runner.home import Home
from runner.work.child import worker_environment
from runner.work.processes import LOOK_S, adopt_orphans, end_strays

READY_S = 20.0
"""The last runner's guard has ended everything long before."""
TRIES = 3
"""A guard that somebody ends before it is ready is started again."""
HUNT_S = 2.0
"""How long strays are looked for as often as can be; what is left by then waits for the kernel, and closing for no more
of it."""
SLOW_LOOK_S = 0.05
"""Between two looks after that."""


class GuardProcess:
    """Tells the guard which workers live, and ends what a worker that died leaves to this process.

    This process starts no other children than guard and workers.
    """

    def __init__(self, home: Home) -> None:
        """Start it, once nothing of the last runner lives. Raises RunnerError when that does not come to be."""
        self._home = home
        self._guarded: set[int] = set()
        self._hunt: asyncio.TimerHandle | None = None
        """The next look for strays."""
        self._hunted_since = 0.0
        adopt_orphans()
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        for _ in range(TRIES):
            process = self._launch()
            answer = process.stdout
            told = answer is not None and _said(answer.fileno(), READY_S)
            if told and answer is not None and answer.readline() == b"ready\n":
                return process
            process.kill()
            process.wait()
            if not told:
                break
        raise RunnerError(
            f"processes of the last runner of this home still live after {READY_S:g}s, or {self._home.guard_lock} "
            "cannot be locked; end them and start again"
        )

    def _launch(self) -> subprocess.Popen[bytes]:
        words = (str(self._home.guard_lock), str(self._home.tasks), str(os.getpid()))
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "runner.work.guard", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            env=worker_environment(),
            cwd="/",
        )

    def tell(self, line: str) -> None:
        """`+PID` or `-PID` of a worker."""
        pid = int(line[1:])
        if line.startswith("+"):
            self._guarded.add(pid)
        else:
            self._guarded.discard(pid)
            self._hunted_since = time.monotonic()
            self._look_for_strays()
        self._write(line)

    def _look_for_strays(self) -> None:
        """Once now and again after each pause, until none is left; the loop turns in between.

        Not in a thread of its own: to that, a child just started would be a stray until it is told.
        """
        if self._hunt is not None:
            self._hunt.cancel()
            self._hunt = None
        if self._end_strays():
            wait = LOOK_S if time.monotonic() < self._hunted_since + HUNT_S else SLOW_LOOK_S
            self._hunt = asyncio.get_running_loop().call_later(wait, self._look_for_strays)

    def _end_strays(self) -> bool:
        return end_strays(but={*self._guarded, self._process.pid})

    def _write(self, line: str) -> None:
        if self._process.stdin is not None:
            with suppress(OSError, ValueError):  # it died: `look` starts another
                self._process.stdin.write(f"{line}\n".encode())
                self._process.stdin.flush()

    def look(self) -> bool:
        """Start another guard if somebody ended it; True when that was so."""
        if self._process.poll() is None:
            return False
        self._process = self._start()
        for pid in self._guarded:
            self._write(f"+{pid}")
        return True

    def close(self) -> None:
        """Let it go; it ends what is still guarded, and then itself."""
        if self._hunt is not None:
            self._hunt.cancel()
        until = time.monotonic() + HUNT_S
        while self._end_strays() and time.monotonic() < until:
            time.sleep(LOOK_S)
        with suppress(OSError, ValueError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)


def _said(fd: int, within_s: float) -> bool:
    """Whether there is something to read. Not with select, which takes no descriptor above 1,023."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(within_s * 1000))
