"""Prices: how old the list is, and models whose price nobody knows."""

from __future__ import annotations

from collections.abc import Iterator

from runner.doctor.finding import Finding, fail, ok, warn
from runner.doctor.look import Look


def prices(look: Look) -> Iterator[Finding]:
    """Of the list, and of every model that a task names."""
    from runner.price_age import list_date  # noqa: PLC0415 - reads what is installed

    dated = list_date()
    said = dated.sentence(look.now)
    if dated.old(look.now):
        mend = "install a newer afk-console, or write what you pay into [prices] of afk.toml"
        yield warn("prices", f"{said}: prices may have changed", mend)
    else:
        yield ok("prices", said)
    yield from _models(look)


def _models(look: Look) -> Iterator[Finding]:
    models = sorted({task.model for task in look.tasks.values() if task.model})
    if not models or look.config is None:
        return
    from runner.gate.prices import PriceList  # noqa: PLC0415 - up to 0.2 s
    from runner.gate.upstreams import Upstreams  # noqa: PLC0415 - brings httpx along

    known = PriceList(look.config.prices)
    upstreams = Upstreams(look.config.upstreams, look.config.models)
    for model in models:
        upstream = upstreams.serving(model)
        if upstream is None:
            text = f"{model}: no line of [models] leads it to an upstream"
            yield fail("prices", text, f'[models] "{model}" = "an upstream"')
            continue
        price = known.lookup(model, local=upstream.local, now=look.now)
        if price is None:
            text = f"{model}: its price is not known, so every call of it is refused"
            yield fail("prices", text, f'write [prices."{model}"] with input and output into afk.toml')
        else:
            yield ok("prices", f"{model} at {upstream.name}: {price.source}")
