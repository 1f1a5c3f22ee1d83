"""Alerts: whether anybody would be told. Nothing is sent."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress

from runner.doctor.finding import Finding, fail, ok, warn
from runner.doctor.look import Look
from runner.errors import StoreError
from runner.notify import courier
from runner.notify.addresses import named
from runner.store import addresses, alerts
from runner.store.addresses import Address
from runner.store.db import open_reader
from runner.units import duration, plural


def channel(look: Look) -> Iterator[Finding]:
    """Whether there is one, and what nobody was told yet."""
    if look.config is None:
        return
    if not look.config.alert_urls:
        text = "[alerts] names no address: nobody is told of a dead letter, a cap or a runner that is gone"
        yield warn("alerts", text, f'[alerts] urls = ["env:ALERT_WEBHOOK"], then {look.command("alerts test")}')
    with suppress(StoreError, sqlite3.Error), closing(open_reader(look.home.db)) as db:
        undelivered, holding = alerts.counts(db)
        if holding:
            text = f"{plural(holding, 'alert holds', 'alerts hold')} still"
            if undelivered:
                text += f"; {undelivered:,} of all alerts reached nobody yet"
            yield warn("alerts", text, look.command("alerts"))


def urls(look: Look) -> dict[str, str]:
    """Each address by its name."""
    return named(look.config.alert_urls) if look.config is not None else {}


def understood(look: Look, name: str, url: str) -> Iterator[Finding]:
    """Whether a URL means anything to whoever delivers, and what became of the last message."""
    fault = asyncio.run(courier.hand(url, [{}]))
    if fault is not None:
        yield fail("alerts", f"{name}: {fault}", "mend it in [alerts], or in .env where it is named")
        return
    known = Address(name=name)
    with suppress(StoreError, sqlite3.Error), closing(open_reader(look.home.db)) as db:
        known = addresses.get(db, name)
    test = look.command("alerts test")
    if known.last_error is not None:
        text = f"{name} takes nothing ({plural(known.failures, 'failure')} in a row): {known.last_error}"
        yield warn("alerts", text, f"mend it, then {test}")
    elif known.took_at is None:
        yield warn("alerts", f"{name} is understood, and never took a message", test)
    else:
        yield ok("alerts", f"{name} took its last message {duration(max(look.now - known.took_at, 0))} ago")
