"""Pause this? A reason can be typed, for whoever finds it paused."""

from __future__ import annotations

from collections.abc import Callable

from console.line import Line
from console.look import Look
from console.screens.question import fact
from console.screens.typed import TypedQuestion, reason_if_any
from console.seen import Seen


class PauseQuestion(TypedQuestion):
    """Would like to know why."""

    def __init__(self, name: str, seen: Seen, look: Look, monotonic: Callable[[], float]) -> None:
        super().__init__(seen, look, monotonic, verb=f"pause {name}", fields=(reason_if_any(),))
        self.name_ = name

    def asks(self) -> str:
        return f"Pause {self.name_}?"

    def known(self) -> list[Line]:
        return [
            fact("slots", "that come due meanwhile are skipped, with the reason"),
            fact("jobs", "of it that are queued wait; those at work go on"),
            fact("reason", "kept with your name; Enter alone leaves it out"),
        ]
