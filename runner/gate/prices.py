"""Finds the price of a model: the owner's in `afk.toml`, nothing for local models, else the price list's.

Ids are compared whole: the package's own matching goes by prefix and would give `claude-opus-4-6-fast` the price of the
slow one. A model without a price is refused by the caller, so None here never means free.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING

from runner.config import PriceConfig
from runner.gate.rates import FREE, Price, Rate, complete, dearest, dearest_rate, pico_of
from runner.units import UnixMs

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice

_DATE = re.compile(r"-\d{4}(?:\d{4}|-\d{2}-\d{2})\Z")
_VENDORS = ("anthropic", "openai")
_SEARCHES = "web_searches_kcount"
_UNMETERED = frozenset({_SEARCHES, "storage_searches_kcount"})  # not by the token; the second is refused unsent
_MANY = 10**9  # of searches: the dearest of any tier
_FAST = {"speed": "fast"}


class PriceList:
    """Finds a model's price: the owner's, else nothing for local models, else the price list's."""

    def __init__(self, owner: Mapping[str, PriceConfig]) -> None:
        self._owner = owner

    def lookup(self, model: str, *, local: bool, now: UnixMs | None = None) -> Price | None:
        """The dearest price that can apply to the exact id, or to it without its date; None: not known.

        `local` says that the upstream's models cost nothing; so does the built-in `offline/*`. With `now`, prices that
        a later one has replaced by then are left out. The first answer from the list loads it: 0.2 s and 30 MB.
        """
        owner = self._owner.get(model)
        if owner is not None:
            return _owners(owner, window=None if local or owner.context else _window(model))
        if local or model.startswith("offline/"):
            return FREE
        return _listed(model, now)


def _owners(owner: PriceConfig, *, window: int | None) -> Price:
    return complete(
        "afk.toml",
        owner.context or window,
        plain=Rate(pico_of(owner.input)),
        output=Rate(pico_of(owner.output)),
        read=None if owner.cache_read is None else Rate(pico_of(owner.cache_read)),
        write_5m=None if owner.cache_write is None else Rate(pico_of(owner.cache_write)),
        write_1h=None if owner.cache_write_1h is None else Rate(pico_of(owner.cache_write_1h)),
    )


def _listed(model: str, now: UnixMs | None) -> Price | None:
    found: list[Price] = []
    for name, info in _entries(model):
        for terms in _applicable(info, now):
            if terms.input_mtok is None or terms.output_mtok is None:
                continue  # listed without a price, as free trials are: not a promise that it costs nothing
            source = f"genai-prices, {name} {info.id}"
            price = _price(source, info.context_window, vars(terms))
            if price is None:
                return None
            fast = [_price(f"{source}, fast", info.context_window, each) for each in _fast(info, terms, now)]
            if fast and all(fast):
                price = replace(price, fast=dearest([each for each in fast if each]))
            found.append(price)
    return dearest(found) if found else None


def _window(model: str) -> int | None:
    windows = [info.context_window for _, info in _entries(model)]
    return max((each for each in windows if each is not None), default=None)


def _entries(model: str) -> list[tuple[str, ModelInfo]]:
    """What the list has under the id: its maker's own entry, else those of everybody who resells it."""
    names = _names()
    entries = names.get(model) or names.get(_DATE.sub("", model)) or []
    for vendor in _VENDORS:
        own = [entry for entry in entries if entry[0] == vendor]
        if own:
            return own
    return entries


@cache
def _names() -> dict[str, list[tuple[str, ModelInfo]]]:
    """Every exact name in the list, with its provider and entry."""
    # Imported here, for it costs 30 MB that a runner of local models never needs.
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415

    names: dict[str, list[tuple[str, ModelInfo]]] = {}
    for provider in get_snapshot().providers:
        for info in provider.models:
            for name in dict.fromkeys([info.id, *_equals(info.match)]):
                names.setdefault(name, []).append((provider.id, info))
    return names


def _equals(clause: object) -> list[str]:
    """The whole names a match clause accepts; its prefixes, suffixes and patterns are left out."""
    from genai_prices.types import ClauseEquals, ClauseOr  # noqa: PLC0415 - loaded by the caller already

    if isinstance(clause, ClauseEquals):
        return [clause.equals]
    return [name for part in clause.or_ for name in _equals(part)] if isinstance(clause, ClauseOr) else []


def _applicable(info: ModelInfo, now: UnixMs | None) -> list[ModelPrice]:
    """The terms that can be in force: later entries replace earlier ones from their start date on, in UTC.

    A start within a day of `now` counts neither way, and hours of the day are not trusted: clocks differ.
    """
    from genai_prices.types import ModelPrice, StartDateConstraint  # noqa: PLC0415 - loaded by the caller already

    if isinstance(info.prices, ModelPrice):
        return [info.prices]
    if now is None:
        return [entry.prices for entry in info.prices]
    moment, day = datetime.fromtimestamp(now / 1000, UTC), timedelta(days=1)
    terms = []
    for entry in reversed(info.prices):
        rule = entry.constraint
        if isinstance(rule, StartDateConstraint) and not rule.active(moment + day):
            continue
        terms.append(entry.prices)
        if rule is None or (isinstance(rule, StartDateConstraint) and rule.active(moment - day)):
            break
    return terms or [info.prices[0].prices]


def _fast(info: ModelInfo, terms: ModelPrice, now: UnixMs | None) -> Iterator[dict[str, object]]:
    """The terms of fast answers: what a variant states over the others."""
    from genai_prices.types import StartDateConstraint  # noqa: PLC0415 - loaded by the caller already

    tomorrow = None if now is None else datetime.fromtimestamp(now / 1000, UTC) + timedelta(days=1)
    for variant in info.price_variants or ():
        rule = variant.constraint
        begun = tomorrow is None or not isinstance(rule, StartDateConstraint) or rule.active(tomorrow)
        if variant.when == _FAST and begun:
            yield vars(terms) | {key: value for key, value in vars(variant.prices).items() if value is not None}


def _price(source: str, context: int | None, terms: Mapping[str, object]) -> Price | None:
    """The list's terms as ours; None if it charges for something we do not count, such as whole requests."""
    classes: dict[str, list[Rate]] = {"input": [], "output": [], "read": [], "5m": [], "1h": []}
    for key, value in terms.items():
        if value is None or key in _UNMETERED:
            continue
        group = _group(key)
        rate = _rate(value)
        if group is None or rate is None:
            return None
        classes[group].append(rate)
    return complete(
        source,
        context,
        plain=dearest_rate(classes["input"]),
        output=dearest_rate(classes["output"]),
        read=dearest_rate(classes["read"]) if classes["read"] else None,
        write_5m=dearest_rate(classes["5m"]) if classes["5m"] else None,
        write_1h=dearest_rate(classes["1h"]) if classes["1h"] else None,
        web_search=_each_search(terms.get(_SEARCHES)),
    )


def _each_search(value: object) -> int | None:
    """Pico-dollars of one search, from dollars per thousand."""
    rate = None if value is None else _rate(value)
    return None if rate is None else 1_000 * rate.at(_MANY)


def _group(key: str) -> str | None:
    """The class whose rate a price key raises: sound and pictures count as the input or output they are."""
    if key == "cache_write_mtok":
        return "5m"
    if key == "cache_write_1h_mtok":
        return "1h"
    if not key.endswith("_mtok"):
        return None
    if key.startswith("cache_") and key.endswith("read_mtok"):
        return "read"
    head = key.split("_", maxsplit=1)[0]
    return head if head in ("input", "output") else None


def _rate(value: object) -> Rate | None:
    from genai_prices.types import TieredPrices  # noqa: PLC0415 - loaded by the caller already

    if isinstance(value, TieredPrices):
        amounts: list[object] = [value.base, *(tier.price for tier in value.tiers)]
        starts = [tier.start for tier in value.tiers]
    else:
        amounts, starts = [value], []
    if not all(isinstance(amount, Decimal) and amount.is_finite() and amount >= 0 for amount in amounts):
        return None
    base, *rest = [pico_of(amount) for amount in amounts if isinstance(amount, Decimal)]
    return Rate(base, tuple(zip(starts, rest, strict=True)))
