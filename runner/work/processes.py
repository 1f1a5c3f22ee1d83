"""Finding and ending processes by what the system shows of them: pid with start time, group, descendants."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
_LINUX = sys.platform.startswith("linux")


def start_time(pid: int) -> str | None:
    """A word that differs between two processes that had the same pid; None when there is no such process."""
    if _LINUX:
        fields = _stat(pid)
        return fields[19] if fields and fields[0] != "Z" else None
    return _ps("-o", "lstart=", "-p", str(pid)).strip() or None


def boot_id() -> str:
    """A word that differs between two boots of the machine; empty where it cannot be told."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    with suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(
            ["sysctl", "-n", "kern.boottime"], capture_output=True, text=True, timeout=5
        ).stdout.strip()
    return ""


def descendants(pid: int) -> list[int]:
    """Every process below `pid`, also those that left its group; those whose parent died are found only on Linux,
    and only below a process that called `adopt_orphans`."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for child, parent, _ in _table():
        children[parent].append(child)
    found: list[int] = []
    queue = [pid]
    while queue:
        below = children.pop(queue.pop(), [])
        found += below
        queue += below
    return found


def group_members(group: int) -> list[int]:
    """Every living process of a process group."""
    return [pid for pid, _, pgid in _table() if pgid == group]


def end_tree(pid: int, *, but: int | None = None) -> None:
    """SIGKILL everything below `pid` and in its group, and `pid` itself unless it is `but`.

    Looks again until nothing new shows up, for a process that forks while it is being ended.
    """
    ended: set[int] = set()
    for _ in range(20):
        found = {*descendants(pid), *group_members(pid), pid} - ended - {but}
        if not found:
            return
        for victim in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(victim, signal.SIGKILL)
        ended |= found


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies, so that none gets out of sight (Linux)."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """Be killed when the thread that started this process ends (Linux)."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def reap() -> bool:
    """Collect children that ended; True while there are others."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True


def _prctl(option: int, value: int) -> None:
    if _LINUX:
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _table() -> list[tuple[int, int, int]]:
    """Pid, parent and group of every living process."""
    if _LINUX:
        rows = []
        for name in os.listdir("/proc"):
            if name.isdigit() and (fields := _stat(int(name))) and fields[0] != "Z":
                rows.append((int(name), int(fields[1]), int(fields[2])))
        return rows
    rows = []
    for line in _ps("-axo", "pid=,ppid=,pgid=,stat=").splitlines():
        words = line.split()
        if len(words) == 4 and not words[3].startswith("Z"):
            rows.append((int(words[0]), int(words[1]), int(words[2])))
    return rows


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on; the name before them may hold anything."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def _ps(*words: str) -> str:
    try:
        return subprocess.run(["ps", *words], capture_output=True, text=True, timeout=5, check=False).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
