"""The console as plain text, for pipes, logs, screen readers and terminals that cannot be drawn on."""

from __future__ import annotations

import os
from pathlib import Path

from console import format
from console.feed import Feed
from console.line import Line, fit, line, plain
from console.look import Look
from console.panes.dead import DeadAsk
from console.panes.home import HomeAsk
from console.seen import Seen
from console.views.dead import letters as dead_letters
from console.views.home import HomePage, needs, next_line
from console.views.log import event_line
from console.views.running import running
from console.views.table import Listing, empty_line, head_line, place, row_line
from console.views.vitals import vitals
from runner.errors import StoreError
from runner.home import Home
from runner.snapshot import DeadPage
from runner.units import Clock

LOG_LINES = 15


def once(home: Home, *, db: Path | None, clock: Clock, width: int, look: Look) -> str:
    """Vitals, what needs a person, what runs, what is dead, the end of the log. Raises StoreError."""
    feed = Feed(home, db=db)
    try:
        seen = feed.read(HomeAsk(), now=clock.now())
        if seen.trouble is not None:
            raise StoreError(seen.trouble.text)
        letters = feed.read(DeadAsk(), now=clock.now())
    finally:
        feed.close()
    where = format.place(home.root, os.environ.get("HOME", ""))
    return "\n".join(plain(fit(one, width, look)).rstrip() for one in _lines(seen, letters, width, look, where))


def _lines(seen: Seen, letters: Seen, width: int, look: Look, where: str) -> list[Line]:
    page = seen.page if isinstance(seen.page, HomePage) else HomePage()
    page_of_dead = letters.page if isinstance(letters.page, DeadPage) else DeadPage()
    waiting = needs(seen, page, width, look)
    blank: Line = ()
    return [
        *vitals(seen, width, look, place=where),
        blank,
        _title("NEEDS YOU" if waiting else "NEEDS YOU  nothing"),
        *waiting,
        next_line(page.schedules, seen.at, width, look),
        blank,
        *_list(running(page.running, seen.at), width, look),
        blank,
        _title("DEAD"),
        *_list(dead_letters(page_of_dead, seen.at, look), width, look),
        blank,
        _title("LOG"),
        *(event_line(event, width, look) for event in seen.log.events[-LOG_LINES:]),
    ]


def _title(word: str) -> Line:
    return line(f" {word}")


def _list(listing: Listing, width: int, look: Look) -> list[Line]:
    if not listing.rows:
        return [empty_line(listing)]
    placed = place(listing.columns, width - 1)
    return [head_line(placed, look), *(row_line(row, placed, look, width=width) for row in listing.rows)]
