"""The box a run of events is seen through: where its bottom is and where the cursor is.

Both are ids, so what comes and what goes moves no text. An event may be longer than the box.
"""

from __future__ import annotations

from collections.abc import Callable

from console.line import Line
from console.logbook import Run
from runner.snapshot import Event

NEWEST = 1 << 62
"""A bottom below every event there is."""


class Box:
    """Which events are seen, for a `room` in lines and the `height` of an event in lines."""

    def __init__(self, *, room: Callable[[], int], height: Callable[[Event], int]) -> None:
        self.cursor: int | None = None
        """Id of the event under it; None: follows the newest."""
        self.bottom = NEWEST
        """Id of the event at the bottom."""
        self.inside = 0
        """Lines above the box of an event that is longer than it."""
        self._room = room
        self._height = height

    def current(self, run: Run) -> Event | None:
        """The event under the cursor, where the run has it."""
        index = run.place(self.cursor) if self.cursor is not None else -1
        event = run.events[index] if index >= 0 else None
        return event if event is not None and event.id == self.cursor else None

    def last(self, run: Run) -> int:
        """Index of the event at the bottom; -1: there is none."""
        return min(run.place(self.bottom), len(run.events) - 1)

    # --- moving ---------------------------------------------------------------------------------------------------

    def follow(self) -> None:
        """To the newest, and to whatever comes."""
        self.cursor, self.bottom, self.inside = None, NEWEST, 0

    def hold(self, run: Run) -> None:
        """Stay at what is the newest now, at its end."""
        if run.events:
            self.cursor = self.bottom = run.events[-1].id
            self.inside = max(0, self._height(run.events[-1]) - self._room())

    def go(self, run: Run, index: int, *, back: bool = False, middle: bool = False) -> None:
        """Put the cursor on this event or on the nearest; `back`: one longer than the box is seen at its end."""
        if run.events:
            self.cursor = run.events[max(0, min(len(run.events) - 1, index))].id
            self.inside = 0
            self.keep_in_sight(run, back=back, middle=middle)

    def keep_in_sight(self, run: Run, *, back: bool = False, middle: bool = False) -> None:
        """Move the bottom as little as the cursor needs, or, for what was far away, to have it in the `middle`."""
        events, room = run.events, self._room()
        index = run.place(self.cursor) if self.cursor is not None else -1
        bottom = self.last(run)
        if index < 0 or room <= 0:
            return
        self.bottom = events[bottom].id
        above = index > bottom
        if not above:
            height = 0
            for place in range(index, bottom + 1):
                height += self._height(events[place])
                if height > room:
                    break
            else:
                return
        if middle:
            room = max(1, room // 2)
        if above and not middle:
            bottom = index
        else:
            bottom, height = index, self._height(events[index])
            while bottom + 1 < len(events) and height + self._height(events[bottom + 1]) <= room:
                bottom += 1
                height += self._height(events[bottom])
        self.bottom = events[bottom].id
        over = self._height(events[index]) - self._room()
        self.inside = over if back and over > 0 else 0

    def scroll_inside(self, run: Run, by: int) -> bool:
        """Move within an event that is longer than the box; False when the cursor has to move."""
        event = self.current(run)
        over = self._height(event) - self._room() if event is not None else 0
        inside = max(0, min(over, self.inside + by))
        if over <= 0 or inside == self.inside:
            return False
        self.inside = inside
        return True

    # --- seeing ---------------------------------------------------------------------------------------------------

    def seen_whole(self, run: Run) -> int:
        """How many events are seen from their first line to their last."""
        room = self._room()
        bottom = top = self.last(run)
        height = 0
        while top >= 0 and height + self._height(run.events[top]) <= room:
            height += self._height(run.events[top])
            top -= 1
        return bottom - top

    def lines(self, run: Run, drawn: Callable[[Event], tuple[Line, ...]]) -> list[Line]:
        """What is in the box: whole events, but for the one at its top."""
        events, room = run.events, self._room()
        bottom = top = self.last(run)
        lines: list[Line] = []
        while top >= 0 and len(lines) < room:
            lines[:0] = drawn(events[top])
            top -= 1
        if len(lines) > room:
            over = len(lines) - room
            first = self.inside if bottom == top + 1 and self.cursor == events[bottom].id else over
            return lines[first : first + room]
        while len(lines) < room and bottom + 1 < len(events):
            bottom += 1
            lines += drawn(events[bottom])
        return lines[:room]
