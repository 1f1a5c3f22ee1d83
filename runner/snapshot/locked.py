"""Who holds up the writes to a database, as the kernel tells it: nobody who only reads may try the lock.

To open and close the files that SQLite locks would let go of the locks of our own connection (POSIX locks are the
process's), so they are not asked; `/proc/locks` is, where there is one.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from runner.lock import kernel_locks
from runner.text import one_line
from runner.units import duration
from runner.views import Unwritten

_SPOTS = (
    ("-shm", "POSIX", 120, 120),  # WAL_WRITE_LOCK. Source: sqlite.org/walformat.html
    ("", "POSIX", 0x40000000, 0x40000000 + 511),  # all to itself. Source: sqlite3.c, PENDING_BYTE and SHARED_SIZE
    ("-turn-b", "FLOCK", 0, 0),  # the turn of one of our own
)
"""Where one is named who locks out writers: the end of the file's name, the kind of lock, its first and last byte."""
_NAME = 20
"""Letters of a program's name."""


def unwritten(db: Path, *, runner: int, for_ms: int) -> Unwritten:
    """Why a runner that lives has written nothing for so long. `runner`: its pid."""
    silence = f"the runner has written nothing for {duration(for_ms)}"
    locks = kernel_locks()
    pid = None if locks is None else _locker(db, locks)
    if pid is None:
        why = "locked, or its disk gives no answer" if locks is None else "not written"
        return Unwritten(for_ms=for_ms, locked=locks is None, text=f"the database is {why}: {silence}")
    if pid == runner:
        return Unwritten(for_ms=for_ms, text=f"the database does not finish a write of the runner: {silence}")
    by = _named(pid)
    return Unwritten(for_ms=for_ms, locked=True, by=by, text=f"the database is locked by {by}: {silence}")


def _locker(db: Path, locks: list[list[str]]) -> int | None:
    """The pid of the first who locks out writers; its number counts where we count."""
    for suffix, kind, first, last in _SPOTS:
        try:
            inode = str(os.stat(f"{db}{suffix}").st_ino)
        except OSError:
            continue
        for word in locks:
            # Source: proc_locks(5): "1: POSIX  ADVISORY  WRITE 4121 08:01:131141 120 120"
            if (word[1], word[3], word[5].rpartition(":")[2]) != (kind, "WRITE", inode) or not word[4].isdigit():
                continue
            end = int(word[7]) if word[7].isdigit() else last
            if int(word[6]) <= last and end >= first:
                return int(word[4])
    return None


def _named(pid: int) -> str:
    name = ""
    with suppress(OSError):
        name = one_line(Path(f"/proc/{pid}/comm").read_text("utf-8", "replace").strip(), _NAME)
    return f"pid {pid} ({name})" if name else f"pid {pid}"
