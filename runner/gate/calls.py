"""A call to a model: bound it, hold its money, let it fly."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from runner.config import UpstreamConfig
from runner.gate import admission, plain
from runner.gate.admission import Refusal
from runner.gate.aside import beside
from runner.gate.body import json_object
from runner.gate.book import Barred, Book
from runner.gate.endpoints import Endpoint, Question
from runner.gate.estimate import Bound, Unbounded
from runner.gate.flight import Flight
from runner.gate.http import BadRequest, Request, Responder
from runner.gate.jobapi import is_name
from runner.gate.passes import Pass
from runner.gate.rates import Price
from runner.gate.upstreams import OFFLINE, Outgoing, Upstreams

KEEP = "x-afk-keep"
"""The header of a call whose answer its client is about to record: the name of the step, as in the path of its PUT."""
MAX_MODEL_CHARS = 200
_WIRES = {
    "anthropic": "Anthropic wire, at POST /v1/messages",
    "openai": "OpenAI wire, at POST /v1/chat/completions and /v1/responses",
}
_SAME_QUESTION = frozenset({"stream", "stream_options"})


class Calls:
    """Serves every endpoint that sells tokens."""

    def __init__(self, *, book: Book, upstreams: Upstreams) -> None:
        self._book = book
        self._upstreams = upstreams

    async def serve(self, endpoint: Endpoint, request: Request, responder: Responder, granted: Pass) -> None:
        """One call of one attempt."""
        granted.asked += 1
        try:
            body = await beside(granted, request.body, lambda: json_object(request.body))
            if await self._given_again(request, responder, granted, body):
                return
            flight = await self._admit(endpoint, request, responder, granted, body)
        except BadRequest as error:
            granted.turned_down = str(error)
            raise
        if isinstance(flight, Refusal):
            await refuse(flight, responder, granted)
            return
        task = granted.launch(flight.run())
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.cancelled():
                raise
            await flight.told_cut()

    async def _given_again(self, request: Request, responder: Responder, granted: Pass, body: dict[str, Any]) -> bool:
        """Answer a question that an earlier attempt paid for and could not record any more; False: it is another."""
        step = _step_of(request)
        if step is None or step not in granted.kept or body.get("stream"):
            return False
        question, answer = granted.kept[step]
        if question != await beside(granted, request.body, lambda: _hash(body)):
            return False
        if granted.kept.pop(step, None) is None:
            return False  # another call got it meanwhile
        try:
            self._book.last_look(granted)
        except Barred as barred:
            await refuse(barred.refusal, responder, granted)
            return True
        self._book.found_again(granted)
        granted.answered()
        granted.served += 1
        await responder.send(200, answer.encode())
        return True

    async def _admit(
        self, endpoint: Endpoint, request: Request, responder: Responder, granted: Pass, body: dict[str, Any]
    ) -> Flight | Refusal:
        """Bound the call, make it ready, and only then hold money for it."""
        model = model_of(body)
        over = granted.over_its_tools()
        if over is not None:
            return over
        upstream = routed(self._upstreams, model, endpoint.wire)
        if isinstance(upstream, Refusal):
            return upstream
        price = await self._price(upstream, model, granted)
        if isinstance(price, Refusal):
            return price
        asked = Question(
            body=body,
            headers=request.headers,
            price=price,
            upstream=upstream,
            max_output_tokens=granted.max_output_tokens,
            server_tools=granted.server_tools,
            price_of=lambda other: self._price_beside(upstream, other),
        )
        ready = await beside(granted, request.body, lambda: self._ready(endpoint, request, asked))
        if isinstance(ready, Refusal):
            return ready
        limit, outgoing, question = ready
        call = granted.call(
            upstream=upstream.name,
            model=model,
            hold=limit.hold,
            request_hash=question,
            step=_step_of(request),
            tokens=limit.input_tokens + limit.output_tokens,
        )
        held = await self._book.hold(call)
        if isinstance(held, Refusal):
            return held
        return Flight(
            book=self._book,
            upstreams=self._upstreams,
            endpoint=endpoint,
            charge=held,
            call=call,
            price=price,
            bound=limit,
            granted=granted,
            responder=responder,
            outgoing=outgoing,
            passer=endpoint.passer(body),
        )

    def _ready(self, endpoint: Endpoint, request: Request, asked: Question) -> tuple[Bound, Outgoing, str] | Refusal:
        """The bound of a call, the request as it may leave, and the hash of its question. Raises BadRequest."""
        limit = endpoint.bound(asked)
        if isinstance(limit, Unbounded):
            return admission.unbounded(limit.reason)
        outgoing = self._upstreams.prepare(
            asked.upstream, endpoint.path, limit.body, headers=request.headers, query=request.query
        )
        return limit, outgoing, _hash(asked.body)

    async def _price(self, upstream: UpstreamConfig, model: str, granted: Pass) -> Price | Refusal:
        if upstream.local and upstream is not OFFLINE:
            try:
                forwarded = await self._upstreams.forwarded(
                    upstream, model, last_look=lambda: self._book.last_look(granted)
                )
            except Barred as barred:
                return barred.refusal
            if forwarded is not None:
                return admission.unknown_model(model, forwarded)
        price = self._book.price(model, local=upstream.local)
        if price is None:
            return admission.unknown_model(model, f'nobody knows its price; add [prices."{model}"] to afk.toml')
        return price

    def _price_beside(self, upstream: UpstreamConfig, model: str) -> Price | None:
        """The price of a model that a request to the upstream names beside its own; None: nobody knows it there."""
        return self._book.price(model, local=upstream.local) if self._upstreams.serving(model) is upstream else None


async def refuse(refusal: Refusal, responder: Responder, granted: Pass) -> None:
    """Answer a call that does not leave."""
    granted.refused(refusal)
    await responder.send(refusal.status, refusal.body(), refusal.headers())


def model_of(body: dict[str, Any]) -> str:
    """The model a request names. Raises BadRequest."""
    model = body.get("model")
    if not isinstance(model, str) or not 0 < len(model) <= MAX_MODEL_CHARS or not model.isprintable():
        raise BadRequest(400, "model must be the id of a model")
    return model


def routed(upstreams: Upstreams, model: str, wire: str) -> UpstreamConfig | Refusal:
    """The upstream that serves a model on the wire it is asked for."""
    upstream = upstreams.serving(model)
    if upstream is None:
        return admission.unknown_model(model, "no line of [models] in afk.toml leads it to an upstream")
    if upstream.wire != wire:
        said = f"its upstream {upstream.name} speaks the {_WIRES[upstream.wire]}; nothing is translated between the two"
        return admission.unknown_model(model, said)
    return upstream


def _step_of(request: Request) -> str | None:
    """The step that is to record the answer; None: none is, or none that could be."""
    name = unquote(request.headers.get(KEEP, ""))
    return name if is_name(name) else None


def _hash(body: Mapping[str, Any]) -> str:
    """Of the question alone: the same one asked whole or streamed is the same."""
    asked = {key: value for key, value in body.items() if key not in _SAME_QUESTION}
    return hashlib.sha256(plain.dumps(asked, sort_keys=True).encode()).hexdigest()
