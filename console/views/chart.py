"""A day's spending as a picture: one column an hour, an axis, and the number of the highest."""

from __future__ import annotations

from collections.abc import Sequence

from console.format import clock, money, plural
from console.line import Line, Span, line
from console.look import Look, Role
from runner.snapshot import HourSpend
from runner.units import usd

LABEL = 9
"""Cells before the axis."""
WIDEST = 4
"""Cells of one hour: more of them show nothing more."""
THOUSAND = 999_995_000
"""From here on cents would need more room than there is; just below, they are rounded up to it."""
EVERY = 6
"""Hours between two times below the axis."""


def chart(hours: Sequence[HourSpend], width: int, height: int, look: Look) -> list[Line]:
    """So many rows of columns and two of axis; what was spent at all has a mark. Nothing spent: no columns."""
    peak = max((one.settled + one.held for one in hours), default=0)
    if not peak or not hours:
        return []
    wide = max(1, min(WIDEST, (width - LABEL - 3) // len(hours)))
    # The columns are parted where there is room; where there is not, they touch.
    gap = 1 if wide > 1 else 0
    steps = len(look.bars) - 1
    tall = [max(1, (one.settled + one.held) * height * steps // peak) if one.settled + one.held else 0 for one in hours]
    lines: list[Line] = []
    for row in range(height - 1, -1, -1):
        cells = "".join(
            look.bars[max(0, min(steps, level - row * steps))] * (wide - gap) + " " * gap for level in tall
        ).rstrip()
        label = short(peak) if row == height - 1 else ""
        lines.append(line((f" {label:>{LABEL - 2}} {look.axis}", Role.DIM), (cells, Role.ACCENT)))
    lines.append((Span(f" {'$0':>{LABEL - 2}} {look.corner}{look.rule * (wide * len(hours))}", Role.DIM),))
    lines.append((Span(" " * (LABEL + 1) + _times(hours, wide), Role.DIM),))
    return lines


def short(amount: int) -> str:
    """Dollars in seven cells: `$1.349`, `$1,350`, `$21k`."""
    if amount < THOUSAND:
        return money(amount)
    return usd(amount, places=0) if amount < 100_000_000_000 else f"{usd(amount // 1000, places=0)}k"


def peak_words(hours: Sequence[HourSpend]) -> str:
    """The highest hour in words, for those who do not look at the picture."""
    if not hours:
        return ""
    top = max(hours, key=lambda one: one.settled + one.held)
    if not top.settled + top.held:
        return "nothing spent"
    busy = sum(1 for one in hours if one.settled + one.held)
    most = f"most {money(top.settled + top.held)} in the hour from {clock(top.since)}"
    return f"{most}; some in {busy} of {plural(len(hours), 'hour')}"


def _times(hours: Sequence[HourSpend], wide: int) -> str:
    text = ""
    for index in range(0, len(hours), EVERY):
        text = f"{text.ljust(index * wide)}{clock(hours[index].since)}"
    now = (len(hours) - 1) * wide
    return f"{text.ljust(now)}now" if len(text) < now else text
