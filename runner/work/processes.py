"""Finding and ending processes by what the system shows of them: pid with start time, group, descendants.

What forks and goes every few milliseconds is gone by the end of a look at all processes. So whatever is to be ended is
killed as it is seen, and is looked for where it must be: below a process that is frozen, or among our own children.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from runner.work import proc

PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36
PATIENCE_S = 2.0
"""How long ending a tree looks again for what forks while it is being ended, or dies slowly."""
LOOK_S = 0.002
"""Between two looks; the kernel is ending what the last one found."""
MOST_S = 0.005
"""Of one look, where much is found; the next one goes on."""


def start_time(pid: int) -> str | None:
    """A word that differs between two processes that had the same pid; None when there is no such process."""
    if proc.LINUX:
        fields = proc.stat(pid)
        return fields[19] if fields and fields[0] != "Z" else None
    state, _, started = proc.ps("-o", "stat=", "-o", "lstart=", "-p", str(pid)).strip().partition(" ")
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
    for child, parent, _ in proc.table():
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
    parents = {child: parent for child, parent, _ in proc.table()}
    found: list[int] = []
    while (pid := parents.get(pid, 0)) > 0 and pid not in found:
        found.append(pid)
    return found


def group_members(group: int) -> list[int]:
    """Every living process of a process group."""
    return [pid for pid, _, pgid in proc.table() if pgid == group]


class Tree:
    """A process with everything below it and in its group, ended look by look. Others may have their turn in between.

    Where the system does not let us look, the process itself is killed all the same.
    """

    def __init__(self, pid: int) -> None:
        """From now on there are `PATIENCE_S`."""
        self._pid = pid
        self._dead: set[int] = set()
        """Zombies that nobody has collected: looked at once."""
        self._until = time.monotonic() + PATIENCE_S
        self.over = False
        """It was killed itself."""

    def end(self) -> bool:
        """Kill what is there; True when it is over.

        The process is frozen first and goes last: as long as it is there, whatever loses its parent falls to it and
        stays in sight (Linux, where it called `adopt_orphans`).
        """
        if self.over:
            return True
        _signal(self._pid, signal.SIGSTOP)
        self.over = True  # frozen and left so, it would hold its sockets for ever
        try:
            self.over = self.clear()
        finally:
            if self.over:
                _signal(self._pid, signal.SIGKILL)
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._pid, signal.SIGKILL)
        return self.over

    def clear(self) -> bool:
        """The same for what is below the process, but not for itself."""
        # Twice: what loses its parent in the middle of a look has then gone to where that look had been before.
        lives = self._look() or self._look()
        return not lives or time.monotonic() > self._until

    def _look(self) -> bool:
        """Whether anything was alive, or not everything was looked at."""
        lives = False
        until = time.monotonic() + MOST_S
        for pid in proc.below(self._pid, self._dead):
            _signal(pid, signal.SIGKILL)
            if proc.LINUX and proc.is_dead(pid):
                self._dead.add(pid)
            else:
                lives = True
            if time.monotonic() > until:
                return True
        return lives


def end_tree(pid: int) -> None:
    """SIGKILL `pid` with everything below it and in its group, and wait until nothing of that is left."""
    end_trees([pid])


def end_trees(pids: Collection[int]) -> None:
    """The same for several at a time: one that cannot be ended keeps no other waiting."""
    trees = [Tree(pid) for pid in pids]
    while trees := [tree for tree in trees if not tree.end()]:
        time.sleep(LOOK_S)


def end_below(pid: int) -> None:
    """SIGKILL everything below `pid` and in its group but itself, and wait until nothing of it is left."""
    tree = Tree(pid)
    while not tree.clear():
        time.sleep(LOOK_S)


def end_strays(*, but: Collection[int]) -> bool:
    """Collect or kill what fell to this process because a child of it died; True when it is to be looked at again.

    `but`: the children it started itself. One look of some milliseconds at most. For a process that called
    `adopt_orphans` (Linux); elsewhere orphans fall to the system, out of sight.
    """
    found = False
    until = time.monotonic() + MOST_S
    for pid in proc.children(os.getpid()):
        if pid in but:
            continue
        found = True
        if not _collect(pid):
            _signal(pid, signal.SIGKILL)
            for below in proc.below(pid):
                _signal(below, signal.SIGKILL)
                if time.monotonic() > until:
                    return True
        if time.monotonic() > until:
            return True
    return found


class Marked:
    """Processes that have words among their arguments, or a mark in the environment that they or those they were forked
    from were started with, wherever they are (Linux)."""

    def __init__(self, *words: str, environment: str) -> None:
        self._words = {*words}
        self._mark = environment.encode()

    def end(self, *, spare: Callable[[int], bool | None]) -> None:
        """SIGKILL each as soon as it is seen, the youngest first, until there is none, for `PATIENCE_S` at most.

        `spare` says whether one is to live, None when it just died.
        """
        until = time.monotonic() + PATIENCE_S
        others: set[int] = set()
        again = proc.LINUX
        while again and time.monotonic() < until:
            pids = proc.pids()
            others.intersection_update(pids)
            again = False
            for pid in pids:
                if pid in others:
                    continue
                bears = self._bears(pid)
                may_live = spare(pid) if bears else True
                if may_live is False:
                    _signal(pid, signal.SIGKILL)
                if bears is None or not may_live:
                    again = True  # it may have forked after all pids were read
                if not bears or may_live:
                    others.add(pid)

    def _bears(self, pid: int) -> bool | None:
        """None when it just died."""
        try:
            given = Path(f"/proc/{pid}/environ").read_bytes()
        except PermissionError:  # not ours, or it keeps to itself
            return False
        except OSError:
            return None
        if self._mark in given or self._words <= {*proc.command_line(pid)}:
            return True
        return None if proc.is_dead(pid) else False


def running(*words: str) -> list[int]:
    """Every living process that has all these words among its arguments."""
    if proc.LINUX:
        return [pid for pid, _, _ in proc.table() if {*words} <= {*proc.command_line(pid)}]
    lines = (line.strip().partition(" ") for line in proc.ps("-axww", "-o", "pid=,args=").splitlines())
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
    if not proc.LINUX:
        end_below(os.getpid())
    deadline = time.monotonic() + within_s
    while reap() and time.monotonic() < deadline:
        end_below(os.getpid())
        time.sleep(0.005)  # what it did not fork itself is collected by others


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _prctl(option: int, value: int) -> None:
    if proc.LINUX:
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _collect(pid: int) -> bool:
    """Whether this child is gone, and nothing but an exit code of it was left."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True
