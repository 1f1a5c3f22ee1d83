"""What an upstream's headers say of its rate limits: a limit that is used up, and when it is filled again. Pure.

Everything read here came from outside: what is not of the documented form, lies in the past or farther off than a day
says nothing.
Source: "Rate limits, response headers" of the Claude API documentation; "Rate limits in headers" of OpenAI's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from runner.units import DAY_MS, UnixMs

_ANTHROPIC = re.compile(r"anthropic-ratelimit-([a-z-]{1,40})-remaining")
_OPENAI = re.compile(r"x-ratelimit-remaining-([a-z-]{1,40})")
_NOTHING = re.compile(r"0{1,20}(\.0{1,20})?")
_SPAN = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)")
_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": DAY_MS}
_LONGEST = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhausted:
    """A limit of which nothing is left."""

    what: str
    """`requests`, `tokens`, `input-tokens`, ..."""
    until: UnixMs


def exhausted(headers: Mapping[str, str], *, now: UnixMs) -> Exhausted | None:
    """The limit that is used up and filled last; None when something is left of each. `headers`: names of any case."""
    found: list[Exhausted] = []
    words = {name.lower(): value for name, value in headers.items() if "ratelimit-" in name.lower()}
    for name, remaining in words.items():
        if not _NOTHING.fullmatch(remaining.strip()[:_LONGEST]):
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
        moment = datetime.fromisoformat((text or "")[:_LONGEST].strip())
        if moment.tzinfo is None:
            return None
        return int(-((moment.timestamp() * 1000) // -1))
    except (ValueError, OverflowError):
        return None


def _span(text: str | None, *, now: UnixMs) -> int | None:
    """A time from now on such as `6m0s`, `1.5s` or `120ms`."""
    said = (text or "")[:_LONGEST].strip()
    parts = _SPAN.findall(said)
    if not parts or "".join(number + unit for number, unit in parts) != said:
        return None
    span = timedelta(milliseconds=sum(float(number) * _UNIT_MS[unit] for number, unit in parts))
    return now + -(-span // timedelta(milliseconds=1))
