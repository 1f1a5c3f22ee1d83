"""Draws docs/console.svg, the README's picture, from a seeded home: `python tests/console/picture.py [FILE]`.

The clock stands still, so the same program draws the same picture.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from conftest import runner_lock
from seed import seed

from console.tui import ConsoleApp
from runner.home import Home
from runner.store.db import Database
from tests.factories import NOW, ManualClock

SIZE = (112, 30)


async def draw(home: Home, *keys: str, size: tuple[int, int] = SIZE) -> str:
    """The SVG of the console on this home after these keys."""
    app = ConsoleApp(home, clock=ManualClock(NOW), monotonic=lambda: 0.0)
    async with app.run_test(size=size) as pilot:
        for key in keys:
            await pilot.press(key)
            await pilot.pause()
            await app.workers.wait_for_complete()
        await pilot.pause()
        return app.export_screenshot(title="afk-console")


def main() -> None:
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/console.svg")
    os.environ["SSH_CONNECTION"] = ""
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home")
        home.create()
        database = Database.open(home.db, create=True)
        seed(database, NOW, pid=4121)
        with runner_lock(home):
            picture = asyncio.run(draw(home, *sys.argv[2:]))
        database.close()
    target.parent.mkdir(exist_ok=True)
    target.write_text(picture, "utf-8")


if __name__ == "__main__":
    main()
