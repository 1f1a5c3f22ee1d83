"""What things are drawn with: roles, which a theme turns into colours, and glyphs, which `--ascii` makes plain."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a piece of text is. It is a word before it is a colour: nothing is told by the role alone."""

    PLAIN = "plain"
    DIM = "dim"
    """Labels and whatever can wait."""
    STRONG = "strong"
    ACCENT = "accent"
    """Keys, the tab that is open, the cursor: where the hand is."""
    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    STOP = "stop"
    """The stop line, in reverse."""
    CURSOR = "cursor"
    GONE = "gone"
    """A row that is no longer there."""


@dataclass(frozen=True, slots=True)
class Look:
    """The glyphs."""

    settled: str = "█"
    held: str = "▒"
    free: str = "░"
    bars: str = " ▁▂▃▄▅▆▇█"
    """A cell of a chart from empty to full."""
    rule: str = "─"
    axis: str = "│"
    corner: str = "└"
    more: str = "…"
    up: str = "▲"
    down: str = "▼"
    dot: str = "·"
    at: str = ">"
    """The row the cursor is on."""
    mark: str = "x"


UNICODE = Look()
ASCII = Look(
    settled="#", held="+", free=".", bars=" .:#", rule="-", axis="|", corner="+", more="~", up="^", down="v", dot="|"
)
