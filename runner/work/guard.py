"""The guard: a small process that outlives its runner by a moment, to end what the runner left behind.

It reads `+PID` and `-PID` lines from its standard input. When the runner dies, however it dies, that pipe closes, and
the guard kills every worker still named, with its group and its descendants. It holds `guard.lock` until that is
done, so the next runner starts work only when nothing of the last one lives. What an earlier guard that was killed
itself could not end, the next one ends before it says that it is ready.

What a worker that had died left to the runner falls to the system when the runner dies, and nothing leads to it any
more but what a worker gives to all that it starts: its own command line, or the folder of its agents' settings.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from runner.home import Home
from runner.work.proc import is_below
from runner.work.processes import Marked, ancestors, descendants, end_trees, running, start_time

WORKER = "runner.work.worker"
PARTING = 200
"""How often, a millisecond apart, a runner whose pipe closed is looked at until it is gone altogether."""


def main() -> None:
    """Run until standard input closes. Arguments: lock file, tasks folder, pid of the runner."""
    lock_file, folder, runner = sys.argv[1], sys.argv[2], int(sys.argv[3])
    agents = Home(Path(folder).parent).work / "agents"
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, _ignore)  # it ends with its runner, not with a terminal or a service manager
    lock = os.open(lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    end_trees({*running(WORKER, folder)} - {*descendants(runner)})
    spared = {os.getpid(), runner, *ancestors(runner)}  # a person may try things in the shell of an agent
    left = Marked(WORKER, folder, environment=f"={agents}/")
    left.end(spare=lambda pid: pid in spared or is_below(pid, runner))
    with suppress(BrokenPipeError):  # the runner died meanwhile; standard input tells so as well
        os.write(sys.stdout.fileno(), b"ready\n")
    guarded: dict[int, str | None] = {}
    for line in sys.stdin:
        pid = int(line[1:])
        if line.startswith("+"):
            guarded[pid] = start_time(pid)
        else:
            guarded.pop(pid, None)
    for _ in range(PARTING if guarded else 0):
        if os.getppid() != runner:
            break
        time.sleep(0.001)  # a worker that is frozen while its runner is still dying is sent a SIGHUP, and goes
    end_trees([pid for pid, started in guarded.items() if started is not None and start_time(pid) in (started, None)])
    left.end(spare=spared.__contains__)


def _ignore(*_: object) -> None:
    """A handler rather than SIG_IGN, which children would inherit."""


if __name__ == "__main__":
    main()
