"""Measuring side by side: every side once a round, so that a slow moment of the machine hits all of them alike.

Only ratios within a round are compared; a single number says as much about the neighbours as about the code.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Rounds:
    """What each side gave, a number a round."""

    of: Mapping[str, list[float]]

    def typical(self, side: str) -> float:
        """The median of one side."""
        return median(self.of[side])

    def ratio(self, side: str, to: str) -> Ratio:
        """One side against another, round by round."""
        each = sorted(mine / theirs for mine, theirs in zip(self.of[side], self.of[to], strict=True))
        return Ratio(typical=median(each), least=each[0], most=each[-1])


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio and how far the rounds were apart."""

    typical: float
    """The median of the rounds."""
    least: float
    most: float

    def __str__(self) -> str:
        return f"{self.typical:.2f} ({self.least:.2f}-{self.most:.2f})"


def interleaved(sides: Mapping[str, Callable[[], float]], *, rounds: int) -> Rounds:
    """Run every side once a round, in an order that changes, after one round that does not count."""
    order = list(sides)
    shuffle = random.Random(7)
    found: dict[str, list[float]] = {side: [] for side in order}
    for number in range(rounds + 1):
        shuffle.shuffle(order)
        for side in order:
            value = sides[side]()
            if number:
                found[side].append(value)
    return Rounds(found)


def percentile(values: list[float], part: float) -> float:
    """The value below which `part` of them lie, 0 to 1."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]
