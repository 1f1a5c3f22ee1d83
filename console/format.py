"""Values as the words a person reads. Times are UTC and say so; ages move in steps, so that a calm screen is still."""

from __future__ import annotations

from pathlib import Path

from console.clean import clean
from runner.units import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, MicroUsd, iso, usd
from runner.units import plural as plural  # noqa: PLC0414 - the words of a screen come from here


def age(ms: int | None) -> str:
    """How long, roughly: `5s` in steps of 5 and 10 seconds, then `3m`, `2h05`, `14h`, `4d`; `-` for None."""
    if ms is None:
        return "-"
    ms = max(0, ms)
    if ms < MINUTE_MS:
        seconds = ms // SECOND_MS
        return f"{seconds - seconds % (5 if seconds < 20 else 10)}s"
    if ms < HOUR_MS:
        return f"{ms // MINUTE_MS}m"
    if ms < 2 * DAY_MS:
        hours, rest = divmod(ms, HOUR_MS)
        return f"{hours}h{rest // MINUTE_MS:02}" if hours < 10 else f"{hours}h"
    return f"{ms // DAY_MS}d"


def exact_age(ms: int) -> str:
    """How long, to the second, for what is late: `47s`, `3m10s`."""
    if ms < MINUTE_MS:
        return f"{max(0, ms) // SECOND_MS}s"
    if ms < HOUR_MS:
        return f"{ms // MINUTE_MS}m{ms % MINUTE_MS // SECOND_MS:02}s"
    return age(ms)


def took(ms: int) -> str:
    """A measured span: `340ms`, `2.4s`, `3m10s`."""
    if ms < SECOND_MS:
        return f"{max(0, ms)}ms"
    return f"{ms / SECOND_MS:.1f}s" if ms < MINUTE_MS else exact_age(ms)


def in_time(ms: int) -> str:
    """How far ahead: `in 3m`, or `due`."""
    return f"in {age(ms)}" if ms > 0 else "due"


def clock(at: int | None) -> str:
    """`12:04Z`; `-` for none."""
    text = iso(at)
    return f"{text[11:16]}Z" if text else "-"


def clock_s(at: int | None) -> str:
    """`12:04:58Z`; `-` for none."""
    text = iso(at)
    return f"{text[11:19]}Z" if text else "-"


FAR_MS = 300 * DAY_MS


def when(at: int | None, now: int) -> str:
    """A time of day, with its date when that is not within the day around now; the date alone when it needs a year."""
    text = iso(at)
    if text is None or at is None:
        return "-"
    if abs(now - at) >= FAR_MS:
        return text[:10]
    return clock(at) if abs(now - at) < DAY_MS else f"{text[5:10]} {text[11:16]}Z"


def count(number: int) -> str:
    """`1,412`."""
    return f"{number:,}"


def money(amount: int) -> str:
    """Dollars in a column, whose points stand below each other while they are small: `$0.041`, `$12.30`, `-`."""
    if not amount:
        return "-"
    if 0 < amount < 500:
        return "<$0.001"
    return f"${amount / 1_000_000:,.3f}" if amount < 10_000_000 else usd(amount)


def place(path: Path, user_home: str) -> str:
    """A directory as a person writes it, `~/agents`; of a long one its end."""
    text = clean(str(path))
    if user_home and (text == user_home or text.startswith(f"{user_home}/")):
        text = f"~{text[len(user_home) :]}"
    return text if len(text) <= 28 else f"…{text[-27:]}"


def model_name(name: str) -> str:
    """An upstream and its model, `anthropic/claude-haiku-4-5`; the upstream once where the model begins with it."""
    upstream, _, model = name.partition("/")
    return model if model.startswith(f"{upstream}/") else name


def percent(part: MicroUsd, whole: MicroUsd) -> str:
    """Whole percent, rounded down so that 100 % means reached."""
    return f"{part * 100 // whole}%" if whole else "100%"
