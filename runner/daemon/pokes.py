"""The pipe by which other processes say that they committed something."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from runner.errors import RunnerError


class Pokes:
    """Our end of it."""

    def __init__(self, path: Path) -> None:
        """Make or open the pipe. Raises RunnerError when something else is in its place."""
        with suppress(FileExistsError):
            os.mkfifo(path, 0o600)
        if not stat.S_ISFIFO(os.lstat(path).st_mode):
            raise RunnerError(f"{path} is in the way: it must be a pipe of ours; move it away")
        # Read-write, so that it never reports an end of file.
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)

    def listen(self, poked: Callable[[], None]) -> None:
        """Have every poke, or a burst of them, call this on the running loop."""

        def read() -> None:
            with suppress(OSError):
                os.read(self._fd, 4096)
            poked()

        asyncio.get_running_loop().add_reader(self._fd, read)

    async def close(self) -> None:
        """Hear no more of them."""
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)
