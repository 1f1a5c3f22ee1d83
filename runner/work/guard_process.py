"""The runner's end of the guard: started before the first worker, started again if somebody ends it."""

from __future__ import annotations

import select
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from runner.errors import RunnerError
from runner.work.child import worker_environment

READY_S = 20.0
"""The last runner's guard has ended everything long before."""


class GuardProcess:
    """Tells the guard which workers live."""

    def __init__(self, lock: Path) -> None:
        """Start it, once nothing of the last runner lives. Raises RunnerError when that does not come to be."""
        self._lock = lock
        self._guarded: set[str] = set()
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "runner.work.guard", str(self._lock)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            env=worker_environment(),
            cwd="/",
        )
        answer = process.stdout
        if answer is None or not select.select([answer], [], [], READY_S)[0] or answer.readline() != b"ready\n":
            process.kill()
            raise RunnerError(
                f"processes of the last runner of this home still live after {READY_S:g}s, or {self._lock} cannot be "
                "locked; end them and start again"
            )
        return process

    def tell(self, line: str) -> None:
        """`+PID` or `-PID` of a worker."""
        if line.startswith("+"):
            self._guarded.add(line[1:])
        else:
            self._guarded.discard(line[1:])
        self._write(line)

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
        with suppress(OSError, ValueError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
