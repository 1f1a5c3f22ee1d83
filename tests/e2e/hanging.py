"""`afk-runner` whose loop can be made to stand still by a file of its home, which names what it calls for ever."""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import threading
import time
from collections.abc import Coroutine
from pathlib import Path

NAME = "hang"
"""Of that file, in the `work` of the home. It is gone once it was read, so that the next runner works."""


def blocking_call() -> None:
    """Other threads go on."""
    time.sleep(3600)


def greedy_call() -> None:
    """It holds the interpreter, as a regular expression may: no other thread and no handler of a signal runs."""
    ctypes.PyDLL(None).sleep(3600)


def main() -> None:
    """The runner of `--home`, with somebody who waits for that file."""
    from runner.cli import main as runner_main

    order = Path(os.path.abspath(sys.argv[sys.argv.index("--home") + 1]), "work", NAME)
    run = asyncio.run

    def run_watched(main: Coroutine[object, object, int]) -> int:
        async def watched() -> int:
            threading.Thread(target=_wait, args=(order, asyncio.get_running_loop()), daemon=True).start()
            return await main

        return run(watched())

    asyncio.run = run_watched  # type: ignore[assignment]
    sys.argv[0] = "afk-runner"
    runner_main()


def _wait(order: Path, loop: asyncio.AbstractEventLoop) -> None:
    while not (named := order.read_text() if order.exists() else ""):
        time.sleep(0.05)
    order.unlink()
    loop.call_soon_threadsafe(globals()[named])


if __name__ == "__main__":
    main()
