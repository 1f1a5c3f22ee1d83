"""Money and time as the whole program counts them.

Money is whole micro-dollars (1 USD = 1,000,000), time is whole UTC milliseconds; neither is ever a float.
Both are turned into words only at the edge, by `usd`, `duration` and `iso`.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import NewType, Protocol
from zoneinfo import ZoneInfo

UnixMs = NewType("UnixMs", int)
"""Milliseconds since 1970-01-01T00:00Z."""

MicroUsd = NewType("MicroUsd", int)
"""Millionths of a US dollar."""

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

MAX_USD = MicroUsd(1_000_000_000_000)
"""A million dollars: an amount above it is a typing mistake, and sums of such amounts still fit SQLite's integer."""

MAX_DURATION_MS = 36_525 * DAY_MS
"""A hundred years: a span above it is a typing mistake, and a moment plus such a span is still a date."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_AMOUNT = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")  # not \d, which takes every script's digits
_DURATION = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)")
_UNIT_MS = {"ms": 1, "s": SECOND_MS, "m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS}


class Clock(Protocol):
    """Where `now` comes from; tests move theirs by hand."""

    def now(self) -> UnixMs:
        """Wall time."""
        ...


class SystemClock:
    """The machine's wall clock."""

    def now(self) -> UnixMs:
        return UnixMs(time.time_ns() // 1_000_000)


def parse_usd(text: str) -> MicroUsd:
    """Read a dollar amount such as `"1.00"` exactly; at most six decimals, never negative. Raises ValueError."""
    if re.fullmatch(r"0*[1-9][0-9]{9,}(\.[0-9]*)?", text):
        raise ValueError(f"{text[:40]!r} is too large; the most is a million dollars")
    if not _AMOUNT.fullmatch(text):
        raise ValueError(f'{text[:40]!r} is not an amount of dollars such as "1.00"')
    micro = int(Decimal(text) * 1_000_000)
    if micro > MAX_USD:
        raise ValueError(f"{text!r} is more than a million dollars")
    return MicroUsd(micro)


def usd(amount: int, *, places: int = 2) -> str:
    """Dollars for eyes, rounded. Small amounts keep as many decimals as they need to not read as zero."""
    if amount and abs(amount) < 10_000:
        places = max(places, 4 if abs(amount) >= 100 else 6)
    sign = "-" if amount < 0 else ""
    return f"{sign}${Decimal(abs(amount)) / 1_000_000:,.{places}f}"


def exact_usd(amount: int) -> str:
    """Dollars to the micro-dollar, for sentences whose numbers a reader adds up: `$0.05`, `$0.0995`."""
    sign = "-" if amount < 0 else ""
    whole, micro = divmod(abs(amount), 1_000_000)
    cents = f"{micro:06}".rstrip("0").ljust(2, "0")
    return f"{sign}${whole:,}.{cents}"


def parse_duration(text: str) -> int:
    """Milliseconds of `"90s"`, `"5m"`, `"1h30m"`; at most a hundred years. Raises ValueError."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f'{text[:40]!r} is not a duration such as "90s", "5m" or "6h"')
    span_ms = sum(int(number) * _UNIT_MS[unit] for number, unit in parts)
    if span_ms > MAX_DURATION_MS:
        raise ValueError(f"{text[:40]!r} is more than a hundred years")
    return span_ms


def duration(ms: int) -> str:
    """A span in its one or two largest units, for sentences: `3h 5m`, `40s`, `250ms`."""
    if ms < SECOND_MS:
        return f"{max(ms, 0)}ms"
    days, rest = divmod(ms, DAY_MS)
    hours, rest = divmod(rest, HOUR_MS)
    minutes, rest = divmod(rest, MINUTE_MS)
    parts = [(days, "d"), (hours, "h"), (minutes, "m"), (rest // SECOND_MS, "s")]
    first = next(index for index, (number, _) in enumerate(parts) if number)
    return " ".join(f"{number}{unit}" for number, unit in parts[first : first + 2] if number)


def iso(at: int | None) -> str | None:
    """UTC ISO 8601 with milliseconds, as every JSON answer carries it. None outside the years 1 to 9999."""
    if at is None:
        return None
    second, ms = divmod(at, SECOND_MS)
    try:
        return f"{_iso_second(second)}.{ms:03}Z"
    except OverflowError:
        return None


@lru_cache(maxsize=64)  # a log has hundreds of lines in one
def _iso_second(second: int) -> str:
    return (_EPOCH + timedelta(seconds=second)).isoformat()[:-6]


def parse_time(text: str, zone: ZoneInfo) -> UnixMs:
    """A moment written `2027-01-01T06:00`, in `zone` unless it names its own offset. Raises ValueError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is not a time such as 2027-01-01T06:00") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return _unix_ms(moment)


def local(at: int, zone: ZoneInfo) -> datetime:
    """The wall time of `zone` at an instant. Raises OverflowError outside the years 1 to 9999."""
    return (_EPOCH + timedelta(milliseconds=at)).astimezone(zone)


def day_of(at: int, zone: ZoneInfo) -> str:
    """The calendar day, `YYYY-MM-DD`, in which an instant falls in `zone`."""
    return local(at, zone).date().isoformat()


def midnight_after(at: int, zone: ZoneInfo) -> UnixMs:
    """The instant the next calendar day of `zone` begins: when a day's cap lifts. Always after `at`."""
    tomorrow = local(at, zone).date() + timedelta(days=1)
    start = start_of_day(tomorrow, zone)
    if start > at:
        return start
    # Clocks set back just past midnight (00:01 to 23:01, as in St. John's until 2011) begin the day a second time.
    return _unix_ms(datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=zone, fold=1))


def month_after(day: str, zone: ZoneInfo) -> UnixMs:
    """The instant the calendar month after the one of a day, `YYYY-MM-DD`, begins."""
    first = date.fromisoformat(day).replace(day=1)
    return start_of_day((first + timedelta(days=31)).replace(day=1), zone)


def start_of_day(day: date, zone: ZoneInfo) -> UnixMs:
    """The first instant of a calendar day; where midnight is skipped by daylight saving, the instant after the gap."""
    return _unix_ms(datetime(day.year, day.month, day.day, tzinfo=zone))


def _unix_ms(moment: datetime) -> UnixMs:
    # Whole-number division: `int(timestamp() * 1000)` loses a millisecond to the float now and then.
    return UnixMs((moment - _EPOCH) // timedelta(milliseconds=1))


def plural(number: int, one: str, many: str | None = None) -> str:
    """`1 job`, `3 jobs`, `1,000 jobs`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
