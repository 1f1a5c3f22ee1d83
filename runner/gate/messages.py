"""`POST /v1/messages`: bound the call, hold its money, let it fly."""

from __future__ import annotations

import asyncio
from typing import Any

from runner.gate import admission
from runner.gate.admission import Refusal
from runner.gate.book import Book
from runner.gate.estimate import Bound, Unbounded, bound, unpriced_beta
from runner.gate.flight import Flight
from runner.gate.http import NO_RETRY, BadRequest, Request, Responder, json_object
from runner.gate.passes import Pass
from runner.gate.upstreams import Upstreams

MAX_MODEL_CHARS = 200


class Messages:
    """Serves the Messages wire."""

    def __init__(self, *, book: Book, upstreams: Upstreams) -> None:
        self._book = book
        self._upstreams = upstreams

    async def serve(self, request: Request, responder: Responder, granted: Pass) -> None:
        """One call of one attempt."""
        body = json_object(request.body)
        model = body.get("model")
        if not isinstance(model, str) or not 0 < len(model) <= MAX_MODEL_CHARS or not model.isprintable():
            raise BadRequest(400, "model must be the id of a model")
        flight = await self._admit(request, responder, granted, model, body)
        if isinstance(flight, Refusal):
            granted.refused(flight)
            await responder.send(flight.status, flight.body(), NO_RETRY)
            return
        task = asyncio.ensure_future(flight.run())
        granted.calls.add(task)
        task.add_done_callback(granted.calls.discard)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.cancelled():
                raise
            await flight.told_cut()

    async def _admit(
        self, request: Request, responder: Responder, granted: Pass, model: str, body: dict[str, Any]
    ) -> Flight | Refusal:
        """Bound the call, make it ready, and only then hold money for it."""
        upstream = self._upstreams.serving(model)
        if upstream is None:
            return admission.unknown_model(model, "no line of [models] in afk.toml leads it to an upstream")
        price = self._book.price(model, local=upstream.local)
        if price is None:
            return admission.unknown_model(model, f'nobody knows its price; add [prices."{model}"] to afk.toml')
        limit: Bound | Unbounded | None = None
        if not price.free:
            limit = unpriced_beta(request.headers.get("anthropic-beta", ""))
        limit = limit or bound(body, price=price, max_output_tokens=granted.max_output_tokens)
        if isinstance(limit, Unbounded):
            return admission.unbounded(limit.reason)
        outgoing = self._upstreams.prepare(upstream, limit.body, headers=request.headers, query=request.query)
        call = granted.call(upstream=upstream.name, model=model, hold=limit.hold)
        held = await self._book.hold(call)
        if isinstance(held, Refusal):
            return held
        return Flight(
            book=self._book,
            upstreams=self._upstreams,
            charge=held,
            call=call,
            price=price,
            granted=granted,
            responder=responder,
            outgoing=outgoing,
        )
