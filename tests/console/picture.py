"""Draws the README's pictures from a seeded home: `make screenshots`, or `python -m tests.console.picture [FOLDER]`.

The program itself draws them, on a clock that stands still: the same program draws the same pictures.
"""

from __future__ import annotations

import asyncio
import html
import os
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from console.tui import ConsoleApp
from runner.home import Home
from runner.snapshot import JobStatus
from runner.store import breakers, drafts
from runner.store.attempts import Outcome
from runner.store.db import Database
from runner.store.drafts import NewDraft
from runner.units import MINUTE_MS, UnixMs
from tests import factories as make
from tests.console.conftest import runner_lock
from tests.console.screen import look, shows
from tests.console.seed import seed
from tests.factories import ManualClock

FOLDER = Path(__file__).parents[2] / "docs"
SIZE = (100, 30)
AT = UnixMs(1_795_196_800_000)
"""2026-11-20T17:46:40Z: of the time of the price list, whose age is shown."""
STORM = "TimeoutError: upstream 504 after 60s, step 7 web.fetch"


@dataclass(frozen=True, slots=True)
class Picture:
    """One of them: what is pressed for it, and what it shows once it is drawn."""

    name: str
    keys: tuple[str, ...]
    shows: tuple[str, ...]


PICTURES = (
    Picture("console", (), ("NEEDS YOU", "RUNNING", "following")),
    Picture("dead", ("3", "r"), ("Replay 6 dead jobs?", "TimeoutError")),
    Picture("spend", ("m",), ("BY TASK TODAY", "LAST 24 H")),
)


def furnish(database: Database, now: UnixMs) -> None:
    """A morning's work, and then some trouble."""
    seed(database, now, pid=4121)
    with database.write() as db:
        for n in range(5):
            died = now - (3 + 2 * n) * MINUTE_MS
            job = make.make_job(
                db,
                key=f"research-c0ffe{n}a",
                task="research",
                status=JobStatus.DEAD,
                created_at=died - 9 * MINUTE_MS,
                finished_at=died,
                error=f"{STORM}\n  in tasks/research.py line 41",
            )
            make.make_attempt(db, job, n=4, started_at=died - 70_000, outcome=Outcome.DEAD, error=STORM)
            make.make_charge(db, job, cost=31_000 + 4_000 * n, held_at=died - MINUTE_MS, n=4, day="2026-11-20")
        new = NewDraft(
            job_id=7,
            job="triage-2030-006",
            task="triage",
            n=1,
            name="reply",
            performs="send_mail",
            payload='{"to": 41}',
            priority=0,
            max_attempts=4,
            summary="answer 41 people about the outage",
        )
        drafts.add(db, new, now=UnixMs(now - 14 * MINUTE_MS))
        breakers.trip(
            db, "openai/gpt-5-mini", reason="5 failures in a row: 503", retry_at=UnixMs(now + 4 * MINUTE_MS), now=now
        )


async def draw(home: Home, picture: Picture, *, size: tuple[int, int] = SIZE) -> str:
    """The SVG of the console on this home."""
    app = ConsoleApp(home, clock=ManualClock(AT), monotonic=lambda: 0.0)
    async with app.run_test(size=size) as pilot:
        await look(pilot)
        for key in picture.keys:
            await pilot.press(key)
            await look(pilot)
        await shows(pilot, *picture.shows)
        return _plain_fonts(app.export_screenshot(title="afk-console"))


def _plain_fonts(svg: str) -> str:
    """With the reader's own fonts, nothing fetched, and the blanks that some viewers drop."""
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.S)
    svg = re.sub(r"font-family: Fira Code[^;]*;", "font-family: Menlo, Consolas, 'DejaVu Sans Mono', monospace;", svg)
    return svg.replace("<text ", '<text xml:space="preserve" ')


def words_of(svg: str) -> list[str]:
    """What it says, without numbers, which move with the price list and with the days."""
    text = " ".join(html.unescape(piece) for piece in re.findall(r"<text [^>]*>(.*?)</text>", svg))
    return re.findall(r"[^\W\d_]{2,}", text)


async def draw_all(folder: Path) -> dict[str, str]:
    """Every picture by its name, from one home below this folder, which it shows as `~/agents`."""
    home = Home(folder / "agents")
    home.create()
    database = Database.open(home.db, create=True)
    furnish(database, AT)
    try:
        with runner_lock(home):
            return {picture.name: await draw(home, picture) for picture in PICTURES}
    finally:
        database.close()


def main() -> None:
    target = Path(sys.argv[1]) if sys.argv[1:] else FOLDER
    target.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HOME"] = folder
        for name, svg in asyncio.run(draw_all(Path(folder))).items():
            (target / f"{name}.svg").write_text(svg, "utf-8")


if __name__ == "__main__":
    main()
