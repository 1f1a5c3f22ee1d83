"""A search of the list of jobs that goes on from look to look, so that no single look is long.

Where an index leads to what is meant, every look searches anew. Where rows have to be gone over, a look goes over a few
ten thousand and the next one goes on; what was found is read anew each time, and the search itself is repeated the less
often the longer it took.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from console.paging import Window
from console.seen import PAGE
from runner.units import SECOND_MS, UnixMs

if TYPE_CHECKING:
    from runner.snapshot import Filter, Job, Reader

LOOK = 30_000
"""Rows gone over in the first look of a search: some 20 ms."""
FURTHER = 3 * LOOK
"""In each that goes on: whoever looks elsewhere meanwhile waits no longer than for one of these."""
REST_MS = SECOND_MS
"""Between two searches, for every `LOOK` rows that one goes over: it costs no more than a fiftieth of a CPU."""
AGES_MS = 5 * SECOND_MS
"""After so long a filter by age means others, though nothing has changed."""
MOST = 1_000
"""Jobs that are marked at once, and among which the dearest are found."""


class Order(Enum):
    """How the list is sorted."""

    NEWEST = "newest first"
    OLDEST = "oldest first"
    DEAREST = "dearest first"
    """Of the newest `MOST` that match: a cost has no index, for every call would have to move in it."""


@dataclass(slots=True)
class Search:
    """How far a search has come. Used by one thread at a time."""

    ids: list[int] = field(default_factory=list)
    go_on: int | None = None
    looked: int = 0
    looks: int = 0
    ended_at: UnixMs | None = None
    """None: it has not ended."""
    last: tuple[int, ...] | None = None
    """What the search before this one had found, shown until this one ends."""

    def begin_again(self) -> None:
        """Search anew and show meanwhile what was found."""
        self.last, self.ids = tuple(self.ids), []
        self.go_on, self.looked, self.looks, self.ended_at = None, 0, 0, None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsPage:
    """What one look gave."""

    jobs: tuple[Job, ...]
    """From top to bottom."""
    more: bool
    """The search found as many as it was to find, so there may be others."""
    read_at: int = 0
    searching: bool = False
    """It has not come to its end: another look goes on."""
    looked: int = 0
    """Rows gone over so far."""
    total: int | None = None
    """How many match in all, when it is known."""
    searched_at: UnixMs | None = None
    """When the search ended that found them, where it was not this look's; None: these are all there are now."""
    tasks: tuple[str, ...] = ()
    """Names for completion, when they were asked for."""


def look(reader: Reader, search: Search, wanted: Filter, order: Order, window: Window, *, now: UnixMs) -> JobsPage:
    """Search a little further, and read what was found as it stands now."""
    limit = MOST if order is Order.DEAREST else PAGE
    up = window.after is not None
    if search.ended_at is not None and (search.looks == 1 or _rested(search, now)):
        search.begin_again()
    if search.ended_at is None:
        found = reader.find(
            wanted,
            now=now,
            beyond=search.go_on if search.looks else window.begins,
            oldest_first=window.oldest_first != up,
            limit=limit - len(search.ids),
            most=FURTHER if search.looks else LOOK,
        )
        search.ids += found.ids
        search.go_on, search.looked, search.looks = found.go_on, search.looked + found.looked, search.looks + 1
        if found.go_on is None or len(search.ids) >= limit:
            search.ended_at, search.last = now, None
    ids = search.ids if search.last is None else list(search.last)
    jobs = reader.listed(ids, wanted, now=now, dearest=PAGE if order is Order.DEAREST else None)
    more = len(ids) >= limit or (search.ended_at is None and search.last is None)
    total = reader.total(wanted)
    if total is None and not more and window.upto is None and not up:
        total = len(jobs)
    return JobsPage(
        jobs=jobs[::-1] if up else jobs,
        more=more,
        read_at=now,
        searching=search.ended_at is None,
        looked=search.looked,
        total=total,
        searched_at=search.ended_at if search.looks > 1 else None,
    )


def all_of(reader: Reader, wanted: Filter, *, now: UnixMs) -> tuple[Job, ...]:
    """The newest that match, at most one more than may be marked, however long it takes."""
    ids: list[int] = []
    go_on: int | None = None
    while True:
        found = reader.find(wanted, now=now, beyond=go_on, limit=MOST + 1 - len(ids), most=LOOK)
        ids += found.ids
        go_on = found.go_on
        if go_on is None or len(ids) > MOST:
            return reader.listed(ids, wanted, now=now)


def _rested(search: Search, now: UnixMs) -> bool:
    return search.ended_at is None or abs(now - search.ended_at) >= REST_MS * search.looked / LOOK
