"""A pilot that waits for what the program has to do, by the turns of its loop and not by a clock.

The library's asks every widget of the screen after every key whether it is done, and here four of five stand in panes
that are closed; then it watches how busy the process seems, twice a key: on a machine that gives it no turn it seems
to be done, and the next key comes before the first was obeyed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import textual.app
from textual import screen
from textual.app import App
from textual.dom import DOMNode
from textual.pilot import Pilot

FRAMES_S = 200
"""As the program has it."""
CALM = 2
"""Rounds in a row in which nothing was left to do: what one widget does last may be work for another."""
LONG_S = 120.0

_press_one = App._press_keys


@contextmanager
def keen_pilots() -> Iterator[None]:
    """Pilots are keen in the block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(App, "_press_keys", _press)
        patch.setattr(Pilot, "_wait_for_screen", _screen_is_done)
        patch.setattr(Pilot, "pause", _pause)
        patch.setattr(screen, "UPDATE_PERIOD", 1 / FRAMES_S)
        patch.setattr(textual.app, "wait_for_idle", _at_once)
        yield


async def _press(app: App[Any], keys: Iterable[str]) -> None:
    """Press each once what came of the one before is drawn."""
    for key in keys:
        await _press_one(app, [key])
        await _settled(app)


async def _pause(pilot: Pilot[Any], delay: float | None = None) -> None:
    await _settled(pilot.app)
    if delay is not None:
        await asyncio.sleep(delay)
        await _settled(pilot.app)


async def _screen_is_done(pilot: Pilot[Any]) -> bool:
    return await _shown_are_done(pilot.app)


async def _at_once(*_: object) -> None:
    """Instead of watching the process."""


async def _settled(app: App[Any]) -> bool:
    """Wait until nothing is left to do and a picture of it was sent; False when the program failed or ends."""
    calm = 0
    while calm < CALM:
        if not await _shown_are_done(app) or app._exit:
            return False
        app.screen._on_timer_update()
        calm = 0 if _is_busy(app) else calm + 1
    return True


def _is_busy(app: App[Any]) -> bool:
    shown = app.screen
    undrawn = shown._dirty_widgets or shown._layout_required or shown._repaint_required or shown._callbacks
    return bool(undrawn) or any(not node._message_queue.empty() for node in (app, *_shown(shown)))


async def _shown_are_done(app: App[Any]) -> bool:
    """Wait until what is shown has obeyed what it was sent; False when the program failed meanwhile."""
    if app._exit or not app.screen_stack:
        return False  # it ends, and what it is asked to do after that is not done any more
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
