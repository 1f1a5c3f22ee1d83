"""The sections of `afk.toml` that are not tasks."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import SplitResult, urlsplit

from runner.config import BreakerConfig, BudgetConfig, PriceConfig, RetryConfig, RunnerConfig, UpstreamConfig
from runner.settings.secrets import Secrets
from runner.settings.table import NAME, Table, nearest, quoted
from runner.units import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, duration

OFFLINE = "offline"
"""The upstream of the models `offline/*`, always built in."""

_ALERT_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")


def given(**fields: object) -> dict[str, Any]:
    """The fields that were read; the rest keep the defaults of the dataclass they are meant for."""
    return {name: value for name, value in fields.items() if value is not None}


def read_runner(table: Table) -> RunnerConfig:
    fields = given(
        workers=table.count("workers", 1, 64),
        stop_grace_ms=table.span("stop_grace", 0, HOUR_MS),
        recycle_after=table.count("recycle_after", 1),
        keep_finished_ms=table.span("keep_finished_for", 0, 3_650 * DAY_MS),
        keep_finished=table.count("keep_finished", 0),
        keep_calls_ms=table.span("keep_calls_for", 2 * DAY_MS, 3_650 * DAY_MS),
        keep_output_mb=table.count("keep_output_mb", 0),
        log_mb=table.count("log_mb", 1, 1_000_000),
        disk_low_mb=table.count("disk_low_mb", 0),
    )
    table.close()
    return RunnerConfig(**fields)


def read_budget(table: Table) -> BudgetConfig | None:
    """None when the cap of the day is absent or bad, which was noted."""
    daily_usd = table.money("daily_usd")
    if "daily_usd" not in table:
        table.lacks("daily_usd", 'write the most a day may cost, such as "1.00"')
    others = given(
        per_job_usd=table.money("per_job_usd"),
        hourly_usd=table.money("hourly_usd"),
        rolling_24h_usd=table.money("rolling_24h_usd"),
        monthly_usd=table.money("monthly_usd"),
        alert_at=table.counts("alert_at", 1, 100),
    )
    table.close()
    return None if daily_usd is None else BudgetConfig(daily_usd=daily_usd, **others)


def read_retry(table: Table) -> RetryConfig:
    max_attempts = table.count("max_attempts", 1, 100)
    base_ms = table.span("base", 1, DAY_MS)
    cap_ms = _at_least(table, "cap", 1, DAY_MS, floor="base", floor_ms=base_ms, default_ms=RetryConfig().cap_ms)
    table.close()
    return RetryConfig(**given(max_attempts=max_attempts, base_ms=base_ms, cap_ms=cap_ms))


def read_breaker(table: Table) -> BreakerConfig:
    failures = table.count("failures", 1, 1_000)
    rate = given(
        failure_rate=table.count("failure_rate", 1, 100),
        rate_calls=table.count("rate_calls", 2, 100_000),
        rate_window_ms=table.span("rate_window", SECOND_MS, 10 * MINUTE_MS),
    )
    runaway = given(usd_per_minute=table.money("usd_per_minute"), same_request=table.count("same_request", 0))
    cooldown_ms = table.span("cooldown", SECOND_MS, 7 * DAY_MS)
    max_cooldown_ms = _at_least(
        table,
        "max_cooldown",
        SECOND_MS,
        7 * DAY_MS,
        floor="cooldown",
        floor_ms=cooldown_ms,
        default_ms=BreakerConfig().max_cooldown_ms,
    )
    table.close()
    waits = given(failures=failures, cooldown_ms=cooldown_ms, max_cooldown_ms=max_cooldown_ms)
    return BreakerConfig(**waits, **rate, **runaway)


def read_upstreams(table: Table, secrets: Secrets) -> dict[str, UpstreamConfig]:
    upstreams = {}
    for name in table:
        if name == OFFLINE:
            table.refuse(name, "is built in; give yours another name")
        elif not NAME.fullmatch(name):
            table.refuse(name, "must be named with up to 64 letters, digits, dots, dashes and underscores")
        upstreams[name] = _upstream(table.table(name), name, secrets)
    return upstreams


def read_models(table: Table, upstreams: Mapping[str, UpstreamConfig]) -> dict[str, str]:
    routes = {}
    for model in table:
        upstream = table.text(model, such_as="anthropic")
        if "*" in model[:-1] or not model.strip():
            table.refuse(model, "must be a model id, or the beginning of one followed by a single *")
        elif model.startswith(f"{OFFLINE}/"):
            table.refuse(model, f'cannot be routed: "{OFFLINE}/*" is built in')
        elif upstream is not None and upstream not in upstreams:
            near = nearest(upstream, upstreams)
            what = f"{table.named(model)} names the upstream {quoted(upstream)}"
            text = f"{what}, which is not declared in [upstreams]{near}"
            table.notes.lacks(("upstreams", upstream), text, at=(*table.path, model))
        routes[model] = upstream or ""  # kept when it is bad: a task of this model has no fault of its own
    return routes


def read_prices(table: Table) -> dict[str, PriceConfig]:
    prices = {}
    for model in table:
        price = table.table(model)
        dollars = {
            name: _price(price, name) for name in ("input", "output", "cache_read", "cache_write", "cache_write_1h")
        }
        for name in ("input", "output"):
            if name not in price:
                price.lacks(name, 'write US dollars per million tokens, such as "0.15"')
        context = price.count("context", 1)
        price.close()
        prices[model] = PriceConfig(**{"input": Decimal(0), "output": Decimal(0), **given(**dollars, context=context)})
    return prices


def read_alerts(table: Table, secrets: Secrets) -> tuple[str, ...]:
    urls = []
    for index, item in (table.strings("urls") or {}).items():
        where = (*table.path, "urls", index)
        try:
            url = secrets.resolve(item) if item.startswith(("env:", "file:")) else item
        except ValueError as error:
            table.notes.add(where, f"{table.named('urls')} {error}")
            continue
        if not _ALERT_URL.fullmatch(url):
            table.notes.add(where, f'{table.named("urls")} must hold apprise URLs such as "ntfy://my-topic"')
        urls.append(url)
    table.close()
    return tuple(urls)


def _upstream(table: Table, name: str, secrets: Secrets) -> UpstreamConfig:
    local = table.flag("local")
    url = _url(table, local=bool(local))
    fields = given(
        wire=table.choice("wire", ("anthropic", "openai")),
        key=_key(table, secrets),
        local=local,
        timeout_ms=table.span("timeout", SECOND_MS, DAY_MS),
        default_output_tokens=table.count("default_output_tokens", 1, 1_000_000),
        hold_overloaded=table.flag("hold_overloaded"),
        requests_per_minute=table.count("requests_per_minute", 1),
        tokens_per_minute=table.count("tokens_per_minute", 1),
    )
    if url.startswith("http://") and "key" in fields and not _loopback(_split_url(url)[0].hostname or ""):
        table.refuse("url", "must be https: a key would travel in clear text to another machine")
    table.close()
    return UpstreamConfig(name=name, url=url, **fields)


def _key(table: Table, secrets: Secrets) -> str | None:
    reference = table.text("key", such_as="env:ANTHROPIC_API_KEY")
    if reference is None:
        return None
    try:
        return secrets.resolve(reference)
    except ValueError as error:
        table.refuse("key", str(error))
        return None


def _url(table: Table, *, local: bool) -> str:
    """The upstream's URL without a trailing slash. Errors do not repeat it: it may hold a password."""
    url = table.text("url", such_as="https://api.anthropic.com")
    if url is None:
        if "url" not in table:
            table.lacks("url", 'write where calls go, such as "https://api.anthropic.com"')
        return ""
    parts, fault = _split_url(url)
    if fault:
        table.refuse("url", fault)
    elif local and not _loopback(parts.hostname or ""):
        table.refuse("local", "may be true only where the url's host is localhost, 127.x.x.x or [::1]")
    return url.rstrip("/")


def _split_url(url: str) -> tuple[SplitResult, str]:
    """The parts of an upstream URL and what is wrong with it, or ""."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return urlsplit(""), "is not a URL such as https://api.anthropic.com"
    if parts.scheme not in ("http", "https") or not host:
        return parts, "must begin with http:// or https:// and a host"
    if not url.isascii() or not url.isprintable() or re.search(r"[\s\\]", url):
        return parts, "must not contain spaces, backslashes, or letters beyond ASCII"
    if "@" in parts.netloc:
        return parts, "must not contain a user or a password; a key goes into key"
    if "?" in url or "#" in url:
        return parts, "must not contain a query or a fragment"
    return parts, ""


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _price(table: Table, name: str) -> Decimal | None:
    micro = table.money(name)
    return None if micro is None else Decimal(micro) / 1_000_000


def _at_least(
    table: Table, key: str, low_ms: int, high_ms: int, *, floor: str, floor_ms: int | None, default_ms: int
) -> int | None:
    """A span not below the one named `floor`; where it is not written, the default gives way to that one."""
    span_ms = table.span(key, low_ms, high_ms)
    if floor_ms is None:
        return span_ms
    if key not in table:
        return max(floor_ms, default_ms)
    if span_ms is not None and span_ms < floor_ms:
        table.refuse(key, f"must not be shorter than {floor}, which is {duration(floor_ms)}")
    return span_ms
