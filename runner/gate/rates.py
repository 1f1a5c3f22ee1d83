"""What tokens cost by class, in whole pico-dollars, and what one call cost, in whole micro-dollars."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from runner.gate.usage import Usage
from runner.units import MicroUsd

PICO_PER_MICRO = 1_000_000
REGION_TENTHS = 11
"""Inference pinned to a region costs 11 tenths. Source: spend.md § 3, `geo`."""


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

    @property
    def free(self) -> bool:
        """Whether no call can cost anything."""
        rates = (self.input, self.output, self.cache_read, self.cache_write_5m, self.cache_write_1h)
        return all(rate.base == 0 and all(each == 0 for _, each in rate.tiers) for rate in rates)


FREE = Price(
    input=Rate(0),
    output=Rate(0),
    cache_read=Rate(0),
    cache_write_5m=Rate(0),
    cache_write_1h=Rate(0),
    source="local, free of charge",
)


def cost(price: Price, usage: Usage) -> MicroUsd:
    """What a call cost, rounded up once. Where several models worked on it, `price` is their `dearest`."""
    prompt = usage.prompt
    pico = (
        usage.input * price.input.at(prompt)
        + usage.output * price.output.at(prompt)
        + usage.cache_read * price.cache_read.at(prompt)
        + usage.cache_write_5m * price.cache_write_5m.at(prompt)
        + usage.cache_write_1h * price.cache_write_1h.at(prompt)
    )
    return micro(pico, region=usage.us_only)


def micro(pico: int, *, region: bool) -> MicroUsd:
    """Pico-dollars as micro-dollars, rounded up, with the surcharge of a region if there is one."""
    return MicroUsd(-(-pico * (REGION_TENTHS if region else 10) // (10 * PICO_PER_MICRO)))


def dearest(prices: Iterable[Price]) -> Price:
    """A price that no call can pass with any of these."""
    several = list(prices)
    if len(several) == 1:
        return several[0]
    windows = [price.context for price in several if price.context is not None]
    return Price(
        input=dearest_rate([price.input for price in several]),
        output=dearest_rate([price.output for price in several]),
        cache_read=dearest_rate([price.cache_read for price in several]),
        cache_write_5m=dearest_rate([price.cache_write_5m for price in several]),
        cache_write_1h=dearest_rate([price.cache_write_1h for price in several]),
        context=max(windows) if len(windows) == len(several) else None,
        source="dearest of " + ", ".join(dict.fromkeys(price.source for price in several)),
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
) -> Price:
    """Fill in the cache rates nobody stated: a read costs as input, writes 1.25 and 2 times as much.

    Source: the vendor's multiples, as the one-hour comments of genai-prices and spend.md § 3 give them.
    """
    write_5m = write_5m or plain.times(5, 4)
    return Price(
        input=plain,
        output=output,
        cache_read=read or plain,
        cache_write_5m=write_5m,
        cache_write_1h=write_1h or dearest_rate([plain.times(2, 1), write_5m]),
        context=context,
        source=source,
    )


def pico_of(usd_per_million: Decimal) -> int:
    """Dollars per million tokens as pico-dollars per token, rounded up."""
    return math.ceil(usd_per_million * 1_000_000)
