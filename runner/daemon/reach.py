"""What the runner itself may open, looked at once at its start, for `doctor` to tell."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from contextlib import suppress

from runner.daemon.parts import Parts
from runner.errors import StoreError
from runner.reach import places, refused
from runner.store import controls


def begin(parts: Parts) -> None:
    """Look, and write down what was found. Nobody waits for it, not even the end of the process."""
    loop = asyncio.get_running_loop()
    wanted = set(places(parts.home, parts.tasks).values())

    def look() -> None:
        found = {str(path): refused(path) for path in wanted}
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(lambda: parts.errand(_note(parts, found)))

    threading.Thread(target=look, name="reach", daemon=True).start()


async def _note(parts: Parts, found: Mapping[str, str | None]) -> None:
    with suppress(StoreError):
        await parts.writer.write(lambda db: controls.note_reach(db, found, now=parts.clock.now()))
