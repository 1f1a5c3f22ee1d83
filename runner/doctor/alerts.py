"""Alerts: whether anybody would be told."""

from __future__ import annotations

from collections.abc import Iterator

from runner.doctor.finding import Finding, ok, warn
from runner.doctor.look import Look
from runner.units import plural


def alerts(look: Look) -> Iterator[Finding]:
    """The channel, and what waits to go out through it. Nothing is sent."""
    if look.config is None:
        return
    urls = look.config.alert_urls
    if not urls:
        text = "[alerts] names no address: nobody is told of a dead letter, a cap or a runner that is gone"
        yield warn("alerts", text, f'[alerts] urls = ["env:ALERT_WEBHOOK"], then {look.command("alerts test")}')
        return
    yield ok("alerts", f"{plural(len(urls), 'address', 'addresses')} in [alerts]")
