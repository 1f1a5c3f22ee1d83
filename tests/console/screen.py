"""What a running console shows, and waiting for it to show something."""

from __future__ import annotations

import io
import time
from collections.abc import Callable

from rich.console import Console
from textual.pilot import Pilot

from console.tui import ConsoleApp

DEADLINE_S = 120.0
"""Longest wait for something that must come to be; a machine under load is slow, and a wait is no measurement."""


def lines_of(app: ConsoleApp) -> list[str]:
    """The screen as text, dialogs above the board included."""
    width, height = app.size
    paper = Console(width=width, height=height, file=io.StringIO(), record=True, force_terminal=True)
    paper.print(app.screen._compositor.render_update(full=True, screen_stack=app._background_screens))
    return paper.export_text().splitlines()[:height]


def text_of(app: ConsoleApp) -> str:
    """The same as one text."""
    return "\n".join(lines_of(app))


def flash_of(app: ConsoleApp) -> str:
    """What was said last."""
    return lines_of(app)[-2].strip()


async def until(pilot: Pilot[None], condition: Callable[[], object]) -> None:
    """Let the program work until the condition holds, and send a picture: a key means nothing that none has shown."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert isinstance(pilot.app, ConsoleApp)
        assert time.monotonic() < deadline, "it did not come:\n" + text_of(pilot.app)
        await pilot.pause(0.005)
    await pilot.pause(0)


def eventually(condition: Callable[[], object]) -> None:
    """Wait for something outside of the program."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.005)


async def shows(pilot: Pilot[None], *texts: str) -> None:
    """Wait until all of these are on the screen."""
    assert isinstance(pilot.app, ConsoleApp)
    app = pilot.app
    await until(pilot, lambda: all(text in text_of(app) for text in texts))


async def lacks(pilot: Pilot[None], text: str) -> None:
    """Wait until this is not on the screen."""
    assert isinstance(pilot.app, ConsoleApp)
    app = pilot.app
    await until(pilot, lambda: text not in text_of(app))


async def look(pilot: Pilot[None]) -> None:
    """Have the home looked at now, and wait until what was seen is drawn."""
    assert isinstance(pilot.app, ConsoleApp)
    app = pilot.app
    wanted = app.look()
    await until(pilot, lambda: app.looked >= wanted)
    await pilot.pause()
