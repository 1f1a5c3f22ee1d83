"""What tokens cost by class, in whole pico-dollars, and what one call cost, in whole micro-dollars."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from types import MappingProxyType

from runner.gate.usage import Tokens, Usage
from runner.units import MicroUsd

PICO_PER_MICRO = 1_000_000
REGION_TENTHS = 11
"""Inference pinned to a region costs 11 tenths. Source: spend.md § 3, `geo`."""
WEB_SEARCH_PICO = 10_000_000_000
"""A web search of the vendor, ten dollars a thousand. Source: spend.md § 2."""
_NO_OTHERS: Mapping[str, Price] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Rate:
    """What a token of one class costs, in pico-dollars."""

    base: int
    tiers: tuple[tuple[int, int], ...] = ()
    """(start, rate) pairs: a prompt longer than `start` pays `rate` for every token, not only for those above."""

    def at(self, prompt_tokens: int) -> int:
        """The rate of a prompt of that length; it never falls as the prompt grows."""
        return max(self.base, *(rate for start, rate in self.tiers if prompt_tokens > start), 0)

    def times(self, numerator: int, denominator: int) -> Rate:
        """A fixed multiple, rounded up."""
        return Rate(
            -(-self.base * numerator // denominator),
            tuple((start, -(-rate * numerator // denominator)) for start, rate in self.tiers),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What the tokens of one model cost, by class."""

    input: Rate
    output: Rate
    cache_read: Rate
    cache_write_5m: Rate
    cache_write_1h: Rate
    context: int | None = None
    """The most tokens a prompt can have; None: not known."""
    source: str
    """Where it came from, for people."""
    fast: Price | None = None
    """What its tokens cost at `speed: "fast"`; None: it has no such speed, or nobody knows the price."""
    web_search: int = WEB_SEARCH_PICO
    """What one web search of the vendor costs beside its tokens, in pico-dollars."""

    @property
    def free(self) -> bool:
        """Whether its tokens cost nothing."""
        rates = (self.input, self.output, self.cache_read, self.cache_write_5m, self.cache_write_1h)
        return all(rate.base == 0 and all(each == 0 for _, each in rate.tiers) for rate in rates)

    @property
    def at_fast(self) -> Price | None:
        """The price of a fast answer; None: nobody knows. What costs nothing costs nothing fast."""
        return self if self.free else self.fast


FREE = Price(
    input=Rate(0),
    output=Rate(0),
    cache_read=Rate(0),
    cache_write_5m=Rate(0),
    cache_write_1h=Rate(0),
    source="local, free of charge",
    web_search=0,
)


def cost(price: Price, usage: Usage, others: Mapping[str, Price] = _NO_OTHERS) -> MicroUsd | None:
    """What a call cost, rounded up once; None: it ran at a speed without a price.

    `price` is the requested model's, `others` has those of `usage.other_models`. A part that names its model costs what
    that model does; whatever is left costs what the dearest of all would.
    """
    if usage.fast:
        quick = {name: fast for name, other in others.items() if (fast := other.at_fast) is not None}
        if price.at_fast is None or len(quick) < len(others):
            return None
        price, others = price.at_fast, quick
    all_of_them = dearest([price, *others.values()])
    requested_or_answers = dearest([price, others.get(usage.model, price)])
    pico = _pico(all_of_them, usage.rest, prompt=usage.prompt)
    for part in usage.parts:
        one = others.get(part.model, price) if part.model else requested_or_answers
        pico += _pico(one, part, prompt=part.prompt)
    return micro(pico, region=usage.us_only, beside=usage.web_searches * all_of_them.web_search)


def _pico(price: Price, tokens: Tokens, *, prompt: int) -> int:
    return (
        tokens.input * price.input.at(prompt)
        + tokens.output * price.output.at(prompt)
        + tokens.cache_read * price.cache_read.at(prompt)
        + tokens.cache_write_5m * price.cache_write_5m.at(prompt)
        + tokens.cache_write_1h * price.cache_write_1h.at(prompt)
    )


def micro(pico: int, *, region: bool, beside: int = 0) -> MicroUsd:
    """Pico-dollars as micro-dollars, rounded up once, with a region's surcharge if there is one.

    `beside` bears none: what the vendor bills by the piece and not by the token.
    """
    tenths = pico * (REGION_TENTHS if region else 10) + beside * 10
    return MicroUsd(-(-tenths // (10 * PICO_PER_MICRO)))


def dearest(prices: Iterable[Price]) -> Price:
    """A price that no call can pass with any of these."""
    several = list(prices)
    if len(several) == 1:
        return several[0]
    windows = [price.context for price in several if price.context is not None]
    fast = [price.fast for price in several if price.fast is not None]
    return Price(
        input=dearest_rate([price.input for price in several]),
        output=dearest_rate([price.output for price in several]),
        cache_read=dearest_rate([price.cache_read for price in several]),
        cache_write_5m=dearest_rate([price.cache_write_5m for price in several]),
        cache_write_1h=dearest_rate([price.cache_write_1h for price in several]),
        context=max(windows) if len(windows) == len(several) else None,
        source="dearest of " + ", ".join(dict.fromkeys(price.source for price in several)),
        fast=dearest(fast) if len(fast) == len(several) else None,
        web_search=max(price.web_search for price in several),
    )


def dearest_rate(rates: Sequence[Rate]) -> Rate:
    starts = sorted({start for rate in rates for start, _ in rate.tiers})
    return Rate(
        max(rate.base for rate in rates),
        tuple((start, max(rate.at(start + 1) for rate in rates)) for start in starts),
    )


def complete(
    source: str,
    context: int | None,
    *,
    plain: Rate,
    output: Rate,
    read: Rate | None,
    write_5m: Rate | None,
    write_1h: Rate | None,
    fast: Price | None = None,
    web_search: int | None = None,
) -> Price:
    """Fill in the cache rates nobody stated: a read costs as input, writes 1.25 and 2 times as much.

    A web search is at least the vendor's ten dollars a thousand, but for a model whose tokens cost nothing.
    Source: the vendor's multiples, as the one-hour comments of genai-prices and spend.md § 3 give them.
    """
    write_5m = write_5m or plain.times(5, 4)
    price = Price(
        input=plain,
        output=output,
        cache_read=read or plain,
        cache_write_5m=write_5m,
        cache_write_1h=write_1h or dearest_rate([plain.times(2, 1), write_5m]),
        context=context,
        source=source,
        fast=fast,
        web_search=max(web_search or 0, WEB_SEARCH_PICO),
    )
    return replace(price, web_search=web_search or 0) if price.free else price


def pico_of(usd_per_million: Decimal) -> int:
    """Dollars per million tokens as pico-dollars per token, rounded up."""
    return math.ceil(usd_per_million * 1_000_000)
