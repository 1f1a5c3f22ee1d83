"""The most an Anthropic Messages request can cost, found before it is sent, or the sentence why nobody can say.

Output is clamped first, for it is the larger part. Then every pass that the vendor may make is counted at the dearest
price that can apply to it: one, and one more for each use of a tool at the vendor and for each fallback.
Source: spend.md § 3.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from runner.gate.fields import NoBound, check_fields, named
from runner.gate.prompt import Prompt, cache_lifetime, measure
from runner.gate.rates import Price, cost, micro
from runner.gate.tools import read_tools
from runner.gate.usage import Usage
from runner.units import MicroUsd

MOST_OUTPUT = 10_000_000
"""A `max_tokens` above it is a mistake: no model writes a tenth of it."""

MOST_FALLBACKS = 8
"""Models of a chain, for each of which a whole call is held."""

_WINDOW_BETA = re.compile(r"context-\d", re.IGNORECASE)  # `context-1m-…`; `context-management-…` is harmless
_FALLBACK_KEYS = frozenset({"model", "max_tokens", "thinking", "output_config", "speed"})
_NO_TOOLS: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A request that can cost no more than `hold`."""

    input_tokens: int
    """Of all passes. Never fewer than will be billed; where the price is free, the text's alone if the window is not
    known."""
    output_tokens: int
    """Of all passes; of a single one the clamped `max_tokens`. 0 where a free model was given none."""
    hold: MicroUsd
    body: dict[str, Any]
    """The request to send: as it came, but for the limits written into it."""
    grows: bool = False
    """More input may be billed than the start of the answer tells: it may take several passes."""
    region: bool = True
    """A region's surcharge may apply, and is in the hold."""
    fast: bool = False
    """It asks for `speed: "fast"`, and the hold is at that price."""


@dataclass(frozen=True, slots=True)
class Unbounded:
    """A request that must not be sent, for nobody can say what it may cost."""

    reason: str
    """One sentence for the person who asks why; names the field and the way out."""


def unpriced_beta(header: str) -> Unbounded | None:
    """Why the betas a client asks for leave its call without a bound; None: they change no limit we count on.

    `header`: the values of `anthropic-beta`, commas between them.
    """
    for beta in header.split(","):
        if _WINDOW_BETA.match(beta.strip()):
            return Unbounded(
                f"the beta {named(beta.strip())} lets a prompt pass the context window the price is for; leave it out"
            )
    return None


def bound(
    body: object,
    *,
    price: Price,
    max_output_tokens: int | None,
    server_tools: Mapping[str, int] = _NO_TOOLS,
    price_of: Callable[[str], Price | None] = lambda _: None,
) -> Bound | Unbounded:
    """The upper bound of a request's cost at `price`, its output clamped to `max_output_tokens`.

    `server_tools`: uses in one call of each tool at the vendor that the task allows. `price_of`: the price of another
    model that the same upstream serves. `body` may be of any shape that JSON has; it is not changed. Never raises.
    """
    try:
        return _bound(body, price, max_output_tokens, server_tools, price_of)
    except NoBound as refusal:
        return Unbounded(str(refusal))
    except (ValueError, OverflowError, RecursionError):
        return Unbounded("the request holds a number or a text that cannot be written as JSON")


def refined(bound: Bound, opening: Usage, *, price: Price) -> MicroUsd:
    """The hold once the start of the answer told its input: exact input, clamped output. Never more than it was."""
    if bound.grows:
        return bound.hold
    whole = replace(
        opening,
        output=bound.output_tokens,
        parts=(),
        us_only=bound.region or opening.us_only,
        fast=bound.fast or opening.fast,
    )
    most = cost(price, whole)
    return bound.hold if most is None else min(bound.hold, most)


def _bound(
    body: object,
    price: Price,
    limit: int | None,
    server_tools: Mapping[str, int],
    price_of: Callable[[str], Price | None],
) -> Bound:
    if not isinstance(body, dict):
        raise NoBound("the request is not a JSON object")
    writes = cache_lifetime(body)
    check_fields(body)
    tools = read_tools(body.get("tools"), server_tools)
    prompt = measure(body)
    prompt = replace(prompt, tokens=prompt.tokens + tools.tokens)
    terms = _at_speed(body, price)
    output = _output_bound(body, price, limit)
    sent = dict(body)
    if output is not None and output != body.get("max_tokens"):
        sent["max_tokens"] = output
    if tools.sent is not None:
        sent["tools"] = tools.sent
    if tools.uses:
        prompt = replace(prompt, opaque='a tool at the vendor in "tools"')
    passes = [_Pass(price=terms, input=length(prompt, terms), output=output or 0)] * (1 + tools.uses)
    if body.get("fallbacks") not in (None, []):
        if tools.uses or terms is not price:
            raise NoBound('"fallbacks" beside tools at the vendor or "speed" is refused; leave one of the two out')
        sent["fallbacks"] = _fallbacks(body, passes, prompt, limit, price_of)
    pico = sum(each.pico(passes, writes) for each in passes)
    region = body.get("inference_geo") != "global"  # a workspace may pin the region without a field in the request
    return Bound(
        input_tokens=sum(each.input for each in passes),
        output_tokens=sum(each.output for each in passes),
        hold=micro(pico, region=region, beside=tools.searches * terms.web_search),
        body=sent,
        grows=len(passes) > 1,
        region=region,
        fast=terms is not price,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pass:
    """One time the vendor may read the prompt and write an answer."""

    price: Price
    input: int
    output: int

    def pico(self, passes: list[_Pass], writes: str | None) -> int:
        """The most it costs; an answer that tells only totals is priced at the tier of all passes together."""
        price, prompt = self.price, sum(each.input for each in passes)
        rates = [price.input.at(prompt), price.cache_read.at(prompt)]
        if writes:
            rates.append(price.cache_write_5m.at(prompt))
        if writes == "1h":
            rates.append(price.cache_write_1h.at(prompt))
        return self.input * max(rates) + self.output * price.output.at(prompt)


def _at_speed(body: Mapping[str, Any], price: Price) -> Price:
    if body.get("speed") != "fast":
        return price
    if price.at_fast is None:
        raise NoBound(f'"speed" "fast" has no known price for {named(body["model"])}; leave it out')
    return price.at_fast


def length(prompt: Prompt, price: Price) -> int:
    """The most tokens of one pass: no more than the window, where that is the last word on length."""
    if price.context is not None:
        longer = beyond(price, price.context)
        if prompt.opaque is not None:
            return max(price.context, prompt.tokens) if longer else price.context
        return prompt.tokens if longer else min(price.context, prompt.tokens)
    if prompt.opaque is None or price.free:
        return prompt.tokens
    raise NoBound(
        f"{prompt.opaque} has no bound of its own, and the model's context window is not known; "
        'state it as "context" under [prices]'
    )


def beyond(price: Price, window: int) -> bool:
    """Whether there is a rate for prompts longer than the window, so that it cannot be the last word on length."""
    rates = (price.input, price.output, price.cache_read, price.cache_write_5m, price.cache_write_1h)
    return any(start >= window for rate in rates for start, _ in rate.tiers)


def _output_bound(body: Mapping[str, Any], price: Price, limit: int | None) -> int | None:
    """The clamped `max_tokens`, or the limit where it has none; None only for a free model that was given neither."""
    asked = body.get("max_tokens")
    if asked is None:
        if limit is None and not price.free:
            raise NoBound(
                'the request has no "max_tokens", so its answer has no bound; '
                "set it, or max_output_tokens of the task or the job"
            )
    elif type(asked) is not int or not 0 <= asked <= MOST_OUTPUT:
        raise NoBound(f'"max_tokens" {named(asked)} is not a sensible number of tokens')
    if limit is None or (asked is not None and asked <= limit):
        return asked
    thinking = body.get("thinking")
    budget = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
    if budget is not None and (type(budget) is not int or budget >= limit):
        raise NoBound(
            f"thinking may take {named(budget)} tokens, but an answer is limited to {limit} in all; "
            'lower "budget_tokens", or raise max_output_tokens of the task or the job'
        )
    return limit


def _fallbacks(
    body: Mapping[str, Any],
    passes: list[_Pass],
    prompt: Prompt,
    limit: int | None,
    price_of: Callable[[str], Price | None],
) -> list[dict[str, Any]]:
    """The chain as it may be sent; its passes are added to `passes`, for every model of it may be tried and billed."""
    chain = body["fallbacks"]
    if not isinstance(chain, list) or not all(isinstance(entry, dict) for entry in chain):
        raise NoBound('"fallbacks" is refused unless it is a list that names each model; write the models down')
    if len(chain) > MOST_FALLBACKS:
        raise NoBound(f'"fallbacks" names {len(chain)} models; name {MOST_FALLBACKS} at most')
    sent = []
    for entry in chain:
        model = entry.get("model")
        price = price_of(model) if isinstance(model, str) else None
        if price is None:
            raise NoBound(
                f'the model {named(model)} in "fallbacks" has no price, or another upstream; leave it out, '
                "or add it to [prices] and [models]"
            )
        for key in entry:
            if key not in _FALLBACK_KEYS or (key == "speed" and entry[key] not in (None, "standard")):
                raise NoBound(f'{named(key)} in "fallbacks" is refused: nobody here knows what it costs; leave it out')
        own = {key: value for key, value in entry.items() if value is not None}
        output = _output_bound({**body, **own}, price, limit)
        # It goes on from what the models before it wrote.
        read = replace(prompt, tokens=prompt.tokens + sum(each.output for each in passes))
        passes.append(_Pass(price=price, input=length(read, price), output=output or 0))
        sent.append(entry if output is None or entry.get("max_tokens") is None else {**entry, "max_tokens": output})
    return sent
