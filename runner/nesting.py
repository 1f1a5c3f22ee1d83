"""How deep JSON from outside may be nested: the same on every Python, whose own limits differ and are met at random.

A value within it is read, walked, written and sent on by plain recursion, in C or in Python, without a second thought.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

MOST_DEPTH = 200
"""Lists and objects, one inside the other. Three frames of the interpreter for each still leave room for a caller."""
TOO_DEEP = f"nested more than {MOST_DEPTH} levels deep"


def is_too_deep(value: object, *, openings: int) -> bool:
    """Whether a JSON value is nested deeper than that.

    `openings`: brackets and braces that open in its text, those inside its strings too. With no more of them than
    levels nothing is looked at. Does not recurse.
    """
    if openings <= MOST_DEPTH:
        return False
    level = [value]
    for _ in range(MOST_DEPTH):
        inside = chain.from_iterable(_children(node) for node in level)
        level = [child for child in inside if isinstance(child, dict | list)]
        if not level:
            return False
    return True


def openings(text: str) -> int:
    """As `is_too_deep` wants them."""
    return text.count("[") + text.count("{")


def _children(node: object) -> Iterable[object]:
    if isinstance(node, dict):
        return node.values()
    return node if isinstance(node, list) else ()
