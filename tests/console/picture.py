"""Draws docs/console.svg, the README's picture, from a seeded home: `python -m tests.console.picture [FILE [KEY]...]`.

The clock stands still, so the same program draws the same picture.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from console.tui import ConsoleApp
from runner.home import Home
from runner.store.db import Database
from tests.console.conftest import runner_lock
from tests.console.screen import look
from tests.console.seed import seed
from tests.factories import NOW, ManualClock

SIZE = (112, 30)


async def draw(home: Home, *keys: str, size: tuple[int, int] = SIZE) -> str:
    """The SVG of the console on this home after these keys."""
    app = ConsoleApp(home, clock=ManualClock(NOW), monotonic=lambda: 0.0)
    async with app.run_test(size=size) as pilot:
        for key in ("", *keys):
            if key:
                await pilot.press(key)
            await look(pilot)
        picture = app.export_screenshot(title="afk-console")
        return picture.replace("<text ", '<text xml:space="preserve" ')  # some viewers drop leading blanks


def main() -> None:
    target, *keys = sys.argv[1:] or ["docs/console.svg"]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HOME"] = folder  # the home is shown as ~/agents
        home = Home(Path(folder) / "agents")
        home.create()
        database = Database.open(home.db, create=True)
        seed(database, NOW, pid=4121)
        with runner_lock(home):
            picture = asyncio.run(draw(home, *keys))
        database.close()
    Path(target).parent.mkdir(exist_ok=True)
    Path(target).write_text(picture, "utf-8")


if __name__ == "__main__":
    main()
