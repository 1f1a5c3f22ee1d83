"""What one call is billed for: tokens by class, in how many parts, by which models, on which terms."""

from __future__ import annotations

import re
from dataclasses import dataclass

MOST_TOKENS = 1_000_000_000
"""A count above it is a fault of the upstream, not a bill."""

_DATE = re.compile(r"-\d{4}(?:\d{4}|-\d{2}-\d{2})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Tokens that are billed, by class. The classes do not overlap."""

    input: int
    """Neither read from a cache nor written to one."""
    output: int
    """Thinking included."""
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    """Also those whose lifetime the answer leaves open: it is the dearest."""

    @property
    def prompt(self) -> int:
        """All input, whatever its class: what a price tier looks at."""
        return self.input + self.cache_read + self.cache_write_5m + self.cache_write_1h


@dataclass(frozen=True, slots=True, kw_only=True)
class Part(Tokens):
    """One pass of a call that took several: a turn of the vendor's own tools, a fallback, a compaction."""

    model: str
    """"" where the answer does not say: the requested one or the answer's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage(Tokens):
    """What one call is billed for, all its parts together."""

    model: str
    """As the answer names it."""
    parts: tuple[Part, ...] = ()
    """Where the answer tells them one by one, as it does for the vendor's tools, fallbacks and compaction."""
    other_models: tuple[str, ...] = ()
    """Models other than the requested one that worked on it."""
    us_only: bool = False
    """Pinned to a region, which costs a tenth more."""
    fast: bool = False
    """Answered at `speed: "fast"`, which has a price of its own."""
    web_searches: int = 0
    """Of the vendor, which costs each by the piece."""

    @property
    def rest(self) -> Tokens:
        """What no part accounts for; all of it where none is told."""
        parts = self.parts
        return Tokens(
            input=self.input - sum(part.input for part in parts),
            output=self.output - sum(part.output for part in parts),
            cache_read=self.cache_read - sum(part.cache_read for part in parts),
            cache_write_5m=self.cache_write_5m - sum(part.cache_write_5m for part in parts),
            cache_write_1h=self.cache_write_1h - sum(part.cache_write_1h for part in parts),
        )


def same_model(left: str, right: str) -> bool:
    """Whether two ids name one model: equal, or one is the other with its date, `-YYYYMMDD` or `-YYYY-MM-DD`."""
    short, long = sorted((left, right), key=len)
    return short == long or (long.startswith(short) and _DATE.fullmatch(long, len(short)) is not None)
