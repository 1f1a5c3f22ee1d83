"""The endpoints that sell tokens: how a call to each is bounded before it is sent and metered while it is answered.

The flight of a call knows no wire by name: what differs between them is in these values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from runner.config import UpstreamConfig
from runner.gate import estimate, messages_usage
from runner.gate.estimate import Bound, Unbounded
from runner.gate.meter import StreamMeter
from runner.gate.openai import bound as openai_bound
from runner.gate.openai import unasked
from runner.gate.openai import usage as openai_usage
from runner.gate.rates import Price
from runner.gate.usage import Usage


class Passer(Protocol):
    """Decides what of a stream its client gets."""

    def take(self, chunk: bytes) -> bytes:
        """What to pass on of it now."""
        ...

    def rest(self) -> bytes:
        """What was kept back, at the end."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What somebody asks of a model."""

    body: Mapping[str, Any]
    headers: Mapping[str, str]
    price: Price
    upstream: UpstreamConfig
    max_output_tokens: int | None
    """The clamp of its task or job."""
    server_tools: Mapping[str, int]
    """Uses in one call of each tool at the vendor that its task allows."""
    price_of: Callable[[str], Price | None]
    """The price of another model that the same upstream serves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One path of one wire."""

    path: str
    """Below the version."""
    wire: str
    bound: Callable[[Question], Bound | Unbounded]
    whole: Callable[[object, str], Usage | None]
    """The usage of a whole answer to a request for the model."""
    meter: Callable[[str], StreamMeter]
    passer: Callable[[Mapping[str, Any]], Passer | None]
    """What stands between a stream and the client that sent the body; None: it gets every byte."""
    regional: Callable[[UpstreamConfig], bool] = lambda _: False
    """Whether the upstream's address alone pins a region, which costs more and is told by no answer."""


def _bound_messages(asked: Question) -> Bound | Unbounded:
    beta = None if asked.price.free else estimate.unpriced_beta(asked.headers.get("anthropic-beta", ""))
    return beta or estimate.bound(
        asked.body,
        price=asked.price,
        max_output_tokens=asked.max_output_tokens,
        server_tools=asked.server_tools,
        price_of=asked.price_of,
    )


def _bound_chat(asked: Question) -> Bound | Unbounded:
    return openai_bound.chat(
        asked.body, price=asked.price, upstream=asked.upstream, max_output_tokens=asked.max_output_tokens
    )


def _bound_response(asked: Question) -> Bound | Unbounded:
    return openai_bound.responses(
        asked.body, price=asked.price, upstream=asked.upstream, max_output_tokens=asked.max_output_tokens
    )


MESSAGES = Endpoint(
    path="/messages",
    wire="anthropic",
    bound=_bound_messages,
    whole=messages_usage.from_message,
    meter=messages_usage.StreamUsage,
    passer=lambda _: None,
)
CHAT = Endpoint(
    path="/chat/completions",
    wire="openai",
    bound=_bound_chat,
    whole=openai_usage.from_chat,
    meter=openai_usage.ChatStream,
    passer=unasked.passer,
    regional=openai_bound.is_regional,
)
RESPONSES = Endpoint(
    path="/responses",
    wire="openai",
    bound=_bound_response,
    whole=openai_usage.from_response,
    meter=openai_usage.ResponseStream,
    passer=lambda _: None,
    regional=openai_bound.is_regional,
)
ENDPOINTS = {each.path: each for each in (MESSAGES, CHAT, RESPONSES)}
