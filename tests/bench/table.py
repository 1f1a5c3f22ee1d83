"""The table a run leaves: what was measured, against what, the goal, and whether it was met."""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line."""

    part: str
    """The heading it stands under."""
    what: str
    measured: str
    goal: str = ""
    met: bool | None = None
    """None: there is no goal, it is there to be seen."""

    def cells(self) -> tuple[str, ...]:
        """As the table shows them."""
        verdict = "" if self.met is None else "met" if self.met else "**missed**"
        return (self.what, self.measured, self.goal, verdict)


@dataclass(slots=True)
class Table:
    """All lines of a run, in the order of their headings' first appearance."""

    rows: list[Row] = field(default_factory=list)

    def add(self, part: str, what: str, measured: object, *, goal: str = "", met: bool | None = None) -> None:
        """Write one line down, and show it."""
        row = Row(part=part, what=what, measured=str(measured), goal=goal, met=met)
        self.rows.append(row)
        print(f"\n{part}: " + " | ".join(cell for cell in row.cells() if cell), flush=True)

    def markdown(self) -> str:
        """The whole run as one page. It names no path and no host."""
        parts = list(dict.fromkeys(row.part for row in self.rows))
        lines = [
            "# What was measured",
            "",
            f"`make bench` wrote this on {datetime.now(UTC):%Y-%m-%d}: {os.cpu_count()} cores, {platform.system()}, "
            f"CPython {platform.python_version()}, SQLite {sqlite3.sqlite_version}.",
            "",
            "Sides of one comparison ran in turns, in the same minutes, on the same disk, with every commit synced. "
            "A ratio is the median of the rounds, with the least and the most of them in brackets: trust the ratios, "
            "and none further than its brackets. Times and sizes by themselves describe the machine.",
        ]
        for part in parts:
            lines += ["", f"## {part}", "", *_grid(row.cells() for row in self.rows if row.part == part)]
        return "\n".join(lines) + "\n"


def _grid(cells: Iterable[tuple[str, ...]]) -> list[str]:
    head = ("what", "measured", "goal", "")
    return [
        f"| {' | '.join(head)} |",
        f"|{'|'.join(['---'] * len(head))}|",
        *(f"| {' | '.join(row)} |" for row in cells),
    ]
