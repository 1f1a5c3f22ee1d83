"""When a transaction has done enough: others wait for the turn to write, and a row may be a megabyte."""

from __future__ import annotations

import time
from collections.abc import Callable

Enough = Callable[[], bool]
"""True once no more rows should be touched in this transaction."""

SHARE_MS = 8
"""What deleting may take of the 20 ms that a transaction may last; the commit takes the rest."""


def never() -> bool:
    """However long it takes."""
    return False


def after(ms: float = SHARE_MS) -> Enough:
    """True from so many milliseconds on, from now."""
    end = time.monotonic() + ms / 1000
    return lambda: time.monotonic() >= end
