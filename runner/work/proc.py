"""What the system shows of processes: /proc on Linux, `ps` elsewhere. Empty where it does not let us look.

The youngest come first, and where it matters one by one as they are read: whoever kills what is just being born must
not read to the end first.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

LINUX = sys.platform.startswith("linux")
SHOWS_CHILDREN = os.path.exists("/proc/thread-self/children")
"""Whether a process's children can be read without looking at every process of the machine."""


def is_below(pid: int, top: int) -> bool | None:
    """Whether a process has `top` above it; None when that cannot be told, as one of them just died (Linux)."""
    while (fields := stat(pid)) is not None:
        pid = int(fields[1])
        if pid in (0, top):
            return pid == top
    return None


def is_dead(pid: int) -> bool:
    """Whether it is gone, or but for somebody to collect it (Linux)."""
    fields = stat(pid)
    return fields is None or fields[0] in ("Z", "X")


def children(pid: int) -> Iterator[int]:
    """Its children, those that nobody has collected as well, the youngest first (Linux)."""
    if not SHOWS_CHILDREN:
        yield from (child for child, parent, _ in _rows(zombies=True) if parent == pid)
        return
    found: list[int] = []
    with suppress(OSError):  # it died
        for thread in os.listdir(f"/proc/{pid}/task"):
            with suppress(OSError):  # that thread alone did; another one has its children now
                found += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_bytes().split())
    yield from reversed(found)


def below(pid: int, dead: Collection[int] = ()) -> Iterator[int]:
    """Every process below `pid`, each told as soon as it is seen, those nobody has collected perhaps as well. Where we
    have to look at all of the machine's, also those in its group: an orphan may be found there.

    Those that were seen `dead` are left out, and have nothing below them.
    """
    if not (LINUX and SHOWS_CHILDREN):
        yield from _among(_rows(), pid)
        return
    queue = deque([pid])
    while queue:
        for child in children(queue.popleft()):
            if child not in dead:
                yield child
                if child not in dead:
                    queue.append(child)


def _among(rows: Iterable[tuple[int, int, int]], pid: int) -> Iterator[int]:
    children: defaultdict[int, list[int]] = defaultdict(list)
    for child, parent, group in rows:
        if pid in (parent, group) and child != pid:
            yield child  # at once: the next rows take their time
        children[parent].append(child)
    queue = children.pop(pid, [])
    while queue:
        below = children.pop(queue.pop(), [])
        yield from below
        queue += below


def table() -> list[tuple[int, int, int]]:
    """Pid, parent and group of every living process.

    Empty where the system does not let us look, for want of file descriptors say. Never raises.
    """
    return list(_rows())


def _rows(*, zombies: bool = False) -> Iterator[tuple[int, int, int]]:
    """The same one by one as they are read, the youngest first; on Linux on request also those nobody has collected."""
    if LINUX:
        for pid in pids():
            if (fields := stat(pid)) and (zombies or fields[0] != "Z"):
                yield pid, int(fields[1]), int(fields[2])
        return
    for line in ps("-axo", "pid=,ppid=,pgid=,stat=").splitlines():
        words = line.split()
        if len(words) == 4 and not words[3].startswith("Z"):
            yield int(words[0]), int(words[1]), int(words[2])


def pids() -> list[int]:
    """Of every process, the youngest first (Linux)."""
    try:
        return sorted((int(name) for name in os.listdir("/proc") if name.isdigit()), reverse=True)
    except OSError:
        return []


def stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on; the name before them may hold anything."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def command_line(pid: int) -> list[str]:
    """Its arguments (Linux)."""
    try:
        return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).split("\0")
    except OSError:
        return []


def ps(*words: str) -> str:
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
