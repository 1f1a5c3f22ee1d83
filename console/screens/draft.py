"""Approve this action? The whole of the request is on the screen, or was, before `y` does anything."""

from __future__ import annotations

import json
from collections.abc import Callable

from textual import events

from console.clean import clean
from console.format import clock_s, count
from console.line import Line, line, wrap
from console.look import Look, Role
from console.screens.question import FRAME, Question, fact
from console.screens.typed import TypedQuestion, reason
from console.seen import Seen
from runner.snapshot import Draft

_LINES = {"up": -1, "down": 1}
_PAGES = {"pageup": -1, "pagedown": 1, "space": 1, "home": -10_000, "end": 10_000}


class ApproveQuestion(Question):
    """Dismisses with True on `y`, once its last line was seen."""

    def __init__(self, draft: Draft, seen: Seen, look: Look, monotonic: Callable[[], float]) -> None:
        super().__init__(seen, look, monotonic, verb=f"approve: {draft.performs} is queued and does it")
        self.draft = draft
        self._top = 0
        self._read = 0
        """Lines of the request, from its first on without a gap, that were on the screen."""
        self._total = 1

    def asks(self) -> str:
        return f"Approve draft {self.draft.id}?"

    def facts(self, width: int) -> list[Line]:
        lines = self._request(width)
        room = self._room
        self._total = len(lines)
        self._top = max(0, min(self._top, self._total - room))
        if self._top <= self._read:  # what was jumped over was not read
            self._read = max(self._read, min(self._total, self._top + room))
        return lines[self._top : self._top + room]

    @property
    def _room(self) -> int:
        return max(2, self.size.height - FRAME - 3)

    def on_key(self, event: events.Key) -> None:
        if event.key in _LINES or event.key in _PAGES:
            event.prevent_default()
            event.stop()
            self._top += _LINES.get(event.key, 0) + _PAGES.get(event.key, 0) * (self._room - 1)
            self.redraw()
        elif event.key == "y" and self._read < self._total:
            event.prevent_default()
            event.stop()

    def _request(self, width: int) -> list[Line]:
        draft = self.draft
        by = f"{draft.job} ({draft.task}, attempt {draft.n}), {clock_s(draft.at)}"
        head = [fact("does", draft.performs), fact("drafted", by)]
        told = [
            (word, text) for word, text in (("summary", draft.summary), ("request", _pretty(draft.payload))) if text
        ]
        for word, text in told:
            rows = wrap(text, max(10, width - 11))
            head += [fact(word if not place else "", row) for place, row in enumerate(rows)]
        return head

    def _ways(self) -> list[Line]:
        left = self._total - self._read
        if left <= 0:
            return super()._ways()
        more = f" {self.look.down} {count(left)} more lines of the request to be read before y"
        leave: Line = line(("   n q Esc", Role.ACCENT), " leave it as it is (default)")
        return [line((more, Role.WARN)), leave]


class RejectQuestion(TypedQuestion):
    """Wants to know why."""

    def __init__(self, draft: Draft, seen: Seen, look: Look, monotonic: Callable[[], float]) -> None:
        super().__init__(seen, look, monotonic, verb="reject it for good", fields=(reason(kind="a rejection"),))
        self.draft = draft

    def asks(self) -> str:
        return f"Reject draft {self.draft.id}?"

    def known(self) -> list[Line]:
        return [fact("does", self.draft.performs), fact("summary", self.draft.summary)]


def _pretty(payload: str) -> str:
    """JSON with line breaks; cleaned again, for escapes were undone."""
    try:
        return clean(json.dumps(json.loads(payload), indent=2, ensure_ascii=False))
    except (ValueError, RecursionError):
        return payload
