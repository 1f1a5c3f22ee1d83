"""Finding and ending processes by what the system shows of them: pid with start time, group, descendants."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36
LOOKS = 100
"""How often ending a tree looks again, 2 ms apart, for what forks while it is being ended or dies slowly."""
_LINUX = sys.platform.startswith("linux")


def start_time(pid: int) -> str | None:
    """A word that differs between two processes that had the same pid; None when there is no such process."""
    if _LINUX:
        fields = _stat(pid)
        return fields[19] if fields and fields[0] != "Z" else None
    state, _, started = _ps("-o", "stat=", "-o", "lstart=", "-p", str(pid)).strip().partition(" ")
    return None if state.startswith("Z") else started.strip() or None


def boot_id() -> str:
    """A word that differs between two boots of the machine; empty where it cannot be told."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    with suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(
            ["sysctl", "-n", "kern.boottime"], capture_output=True, text=True, timeout=5, check=False
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


def ancestors(pid: int) -> list[int]:
    """The parent of `pid`, its parent, and so on, as far as they live."""
    parents = {child: parent for child, parent, _ in _table()}
    found: list[int] = []
    while (pid := parents.get(pid, 0)) > 0 and pid not in found:
        found.append(pid)
    return found


def group_members(group: int) -> list[int]:
    """Every living process of a process group."""
    return [pid for pid, _, pgid in _table() if pgid == group]


def end_tree(pid: int) -> None:
    """SIGKILL `pid` with everything below it and in its group.

    `pid` is frozen first and goes last: as long as it is there, whatever loses its parent falls to it and stays in
    sight (Linux, where it called `adopt_orphans`).
    """
    _signal(pid, signal.SIGSTOP)
    try:
        end_below(pid)
    finally:  # frozen and left so, it would hold its sockets for ever
        _signal(pid, signal.SIGKILL)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def end_below(pid: int) -> None:
    """SIGKILL everything below `pid` and in its group but itself, until nothing of it is left."""
    for _ in range(LOOKS):
        found = {*descendants(pid), *group_members(pid)} - {pid}
        if not found:
            return
        for victim in found:
            _signal(victim, signal.SIGKILL)
        time.sleep(0.002)  # the kernel is ending them


def end_strays(*, but: set[int]) -> None:
    """End what fell to this process because a child of it died; `but`: the children it started itself.

    For a process that called `adopt_orphans` (Linux); elsewhere orphans fall to the system, out of sight.
    """
    for _ in range(LOOKS if _LINUX else 0):
        strays = {pid for pid, parent, _ in _table(zombies=True) if parent == os.getpid()} - but
        if not strays:
            return
        for pid in strays:
            end_tree(pid)
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        time.sleep(0.002)


def running(*words: str) -> list[int]:
    """Every living process that has all these words among its arguments."""
    if _LINUX:
        return [pid for pid, _, _ in _table() if {*words} <= {*_command_line(pid)}]
    lines = (line.strip().partition(" ") for line in _ps("-axww", "-o", "pid=,args=").splitlines())
    # `ps` shows the arguments as one line: a word may hold spaces, but has one on either side.
    return [int(pid) for pid, _, command in lines if all(f" {word} " in f" {command} " for word in words)]


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies, so that none gets out of sight (Linux)."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def keep_to_itself() -> None:
    """Show this process's memory and environment to root alone (Linux). Whatever it starts is as open as ever."""
    _prctl(PR_SET_DUMPABLE, 0)


def reap() -> bool:
    """Collect children that ended; True while there are others."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True


def end_leftovers(*, within_s: float = 5.0) -> None:
    """End everything below this process and in its group. Costs one system call when there is nothing, on Linux.

    Elsewhere an orphan is no child of ours, so the whole table is looked at.
    """
    if not _LINUX:
        end_below(os.getpid())
    deadline = time.monotonic() + within_s
    while reap() and time.monotonic() < deadline:
        end_below(os.getpid())
        time.sleep(0.005)  # what it did not fork itself is collected by others


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _prctl(option: int, value: int) -> None:
    if _LINUX:
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _table(*, zombies: bool = False) -> list[tuple[int, int, int]]:
    """Pid, parent and group of every living process, on Linux on request also of those nobody has collected.

    Empty where the system does not let us look, for want of file descriptors say. Never raises.
    """
    if _LINUX:
        rows: list[tuple[int, int, int]] = []
        try:
            names = os.listdir("/proc")
        except OSError:
            return rows
        for name in names:
            if name.isdigit() and (fields := _stat(int(name))) and (zombies or fields[0] != "Z"):
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


def _command_line(pid: int) -> list[str]:
    try:
        return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).split("\0")
    except OSError:
        return []


def _ps(*words: str) -> str:
    """What `ps` prints, less the line of that `ps` itself: it is below us, and gone by the time it is read."""
    try:
        with subprocess.Popen(
            ["ps", *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, errors="replace"
        ) as ps:
            try:
                said, _ = ps.communicate(timeout=5)
            except subprocess.TimeoutExpired:
                ps.kill()
                return ""
    except OSError:
        return ""
    return "".join(line for line in said.splitlines(keepends=True) if line.split(maxsplit=1)[:1] != [str(ps.pid)])
