"""A pilot that waits no longer than the program needs.

The library's asks every widget of the screen after every key whether it is done, and here four of five stand in panes
that are closed; then it watches for at least 20 ms whether the process does anything, twice a key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from textual import _wait, screen
from textual.dom import DOMNode
from textual.pilot import Pilot

FRAMES_S = 200
"""As the program has it."""
WATCH_S = 0.006
"""Longer than from one picture to the next."""
LONG_S = 30.0


@contextmanager
def keen_pilots() -> Iterator[None]:
    """Pilots are keen in the block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pilot, "_wait_for_screen", _shown_are_done)
        patch.setattr(screen, "UPDATE_PERIOD", 1 / FRAMES_S)
        patch.setattr(_wait, "SLEEP_GRANULARITY", WATCH_S)
        patch.setattr(_wait, "SLEEP_IDLE", WATCH_S / 20)
        yield


async def _shown_are_done(pilot: Pilot[Any]) -> bool:
    """Wait until what is shown has obeyed what it was sent; False when the program failed meanwhile."""
    app = pilot.app
    if not app.screen_stack:
        return False
    done = asyncio.Event()
    nodes = [app, *_shown(app.screen)]
    left = 0

    def one_is_done() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            done.set()

    for node in nodes:
        left += node.call_later(one_is_done)
    if not left:
        return True
    waits = [asyncio.create_task(done.wait()), asyncio.create_task(app._exception_event.wait())]
    _, pending = await asyncio.wait(waits, timeout=LONG_S, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    assert len(pending) < len(waits), "the screen is not done"
    return left == 0


def _shown(node: DOMNode) -> Iterator[Any]:
    yield node
    for child in node.children:
        if child.display:
            yield from _shown(child)
