"""Reading a file that anybody may have made: a pipe, a link, a gigabyte. Only a regular one is read."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def open_regular(path: Path, *, follow: bool = False) -> Iterator[tuple[int, os.stat_result]]:
    """A descriptor of a regular file and its status. Raises OSError with a readable strerror.

    Status and bytes come from one open file, so nobody can swap it between the check and the reading.
    """
    # O_NONBLOCK: opening a FIFO would otherwise wait for a writer that never comes.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ELOOP and not follow and path.is_symlink():
            raise OSError(None, "it is a symbolic link") from None
        raise
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(None, "it is a directory" if stat.S_ISDIR(status.st_mode) else "it is not a regular file")
        yield descriptor, status
    finally:
        os.close(descriptor)


def read_regular(path: Path, *, limit: int, follow: bool = False) -> tuple[os.stat_result, bytes]:
    """A regular file of at most `limit` bytes, whole, with its status. Raises OSError with a readable strerror."""
    with open_regular(path, follow=follow) as (descriptor, status):
        data = b""
        while len(data) <= limit and (more := os.read(descriptor, limit + 1 - len(data))):
            data += more
    if len(data) > limit:
        raise OSError(None, f"it is larger than {limit // 1024} KB")
    return status, data
