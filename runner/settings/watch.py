"""The section `[watch]`: who notices when the runner itself is not well."""

from __future__ import annotations

from urllib.parse import urlsplit

from runner.config import WatchConfig
from runner.settings.secrets import Secrets
from runner.settings.sections import given
from runner.settings.table import Table
from runner.units import HOUR_MS, SECOND_MS


def read_watch(table: Table, secrets: Secrets) -> WatchConfig:
    fields = given(
        ping_url=_ping_url(table, secrets),
        ping_every_ms=table.span("ping_every", 5 * SECOND_MS, 24 * HOUR_MS),
        stall_ms=table.span("stall", 5 * SECOND_MS, HOUR_MS),
        stay_awake=table.choice("stay_awake", ("on_power", "always", "never")),
    )
    table.close()
    return WatchConfig(**fields)


def _ping_url(table: Table, secrets: Secrets) -> str | None:
    reference = table.text("ping_url", such_as="env:PING_URL")
    if reference is None:
        return None
    try:
        url = secrets.resolve(reference)
    except ValueError as error:
        table.refuse("ping_url", str(error))
        return None
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and url.isascii() and " " not in url
        _ = parts.port
    except ValueError:
        sound = False
    if not sound:
        table.refuse("ping_url", "names something that is not a URL such as https://hc-ping.com/your-uuid")
    elif "?" in url or "#" in url:
        table.refuse("ping_url", "names a URL with a query or a fragment: /start and /fail are put behind it")
    return url.rstrip("/")
