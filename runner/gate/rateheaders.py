"""What an upstream's headers say of its rate limits: a limit that is used up, and when it is filled again. Pure.

Everything read here came from outside: what is not of the documented form, lies in the past or farther off than a day
says nothing.
Source: "Rate limits, response headers" of the Claude API documentation; "Rate limits in headers" of OpenAI's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import ceil

from runner.units import DAY_MS, UnixMs

_ANTHROPIC = re.compile(r"anthropic-ratelimit-([a-z-]{1,40})-remaining")
_OPENAI = re.compile(r"x-ratelimit-remaining-([a-z-]{1,40})")
_NOTHING = re.compile(r"0{1,20}(\.0{1,20})?")
_SPAN = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)")
_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": DAY_MS}
_LONGEST = 64
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhausted:
    """A limit of which nothing is left."""

    what: str
    """`requests`, `tokens`, `input-tokens`, ..."""
    until: UnixMs


def exhausted(headers: Mapping[str, str], *, now: UnixMs) -> Exhausted | None:
    """The limit that is used up and filled last; None when something is left of each. `headers`: names of any case."""
    found: list[Exhausted] = []
    words = {
        name.lower(): value.strip()
        for name, value in headers.items()
        if "ratelimit-" in name.lower() and len(value) <= _LONGEST
    }
    for name, remaining in words.items():
        if not _NOTHING.fullmatch(remaining):
            continue
        until = None
        if kind := _ANTHROPIC.fullmatch(name):
            until = _moment(words.get(f"anthropic-ratelimit-{kind[1]}-reset"))
        elif kind := _OPENAI.fullmatch(name):
            until = _span(words.get(f"x-ratelimit-reset-{kind[1]}"), now=now)
        if kind and until is not None and now < until <= now + DAY_MS:
            found.append(Exhausted(what=kind[1], until=UnixMs(until)))
    return max(found, key=lambda one: one.until, default=None)


def _moment(text: str | None) -> int | None:
    """An RFC 3339 time with its offset."""
    try:
        moment = datetime.fromisoformat(text or "")
        return -((_EPOCH - moment) // timedelta(milliseconds=1))
    except (ValueError, TypeError, OverflowError):  # TypeError: it names no zone
        return None


def _span(text: str | None, *, now: UnixMs) -> int | None:
    """A time from now on such as `6m0s`, `1.5s` or `120ms`."""
    parts = _SPAN.findall(text or "")
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return now + ceil(sum(Decimal(number) * _UNIT_MS[unit] for number, unit in parts))
