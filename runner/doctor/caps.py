"""The cap of today, where it is not the one of afk.toml."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, suppress

from runner.doctor.finding import Finding, warn
from runner.doctor.look import Look
from runner.errors import StoreError
from runner.snapshot import Reader
from runner.text import one_line
from runner.units import exact_usd, iso


def raised(look: Look) -> Iterator[Finding]:
    """A raise ends at midnight and not before, whatever daily_usd says by then."""
    if look.config is None:
        return
    with suppress(StoreError), closing(Reader(look.home)) as reader:  # the database has its own finding
        today = reader.vitals(now=look.now).spend
        if today.raised is None:
            return
        daily = look.config.budget.daily_usd
        until = (iso(today.resets_at) or "")[:16]
        text = (
            f"today's cap is {exact_usd(today.raised.cap)} until {until}Z, raised by {today.raised.by}: "
            f"{one_line(today.raised.reason, 80)}; only then daily_usd, {exact_usd(daily)}, holds"
        )
        least = max(daily, today.settled + today.held)
        back = look.command(f"spend --raise {exact_usd(least).lstrip('$').replace(',', '')} --reason 'taken back'")
        yield warn("cap", text, f"if that is no longer meant: {back}" if least < today.raised.cap else None)
