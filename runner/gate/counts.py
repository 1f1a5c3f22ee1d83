"""`POST /v1/messages/count_tokens`: costs nothing, so no money is held, but stop and breaker hold for it too."""

from __future__ import annotations

import asyncio
import json

import httpx

from runner.gate import admission, offline
from runner.gate.admission import Refusal
from runner.gate.answer import down, read
from runner.gate.aside import beside
from runner.gate.body import json_object
from runner.gate.book import Barred, Book
from runner.gate.calls import model_of, refuse, routed
from runner.gate.http import NO_RETRY, Request, Responder
from runner.gate.passes import Pass
from runner.gate.upstreams import OFFLINE, Outgoing, Upstreams
from runner.gate.verdict import of_transport
from runner.units import MicroUsd


class Counts:
    """Serves the count of a prompt's tokens."""

    def __init__(self, *, book: Book, upstreams: Upstreams) -> None:
        self._book = book
        self._upstreams = upstreams

    async def serve(self, request: Request, responder: Responder, granted: Pass) -> None:
        """One count for one attempt."""
        body = await beside(granted, request.body, lambda: json_object(request.body))
        model = model_of(body)
        upstream = routed(self._upstreams, model, "anthropic")
        if isinstance(upstream, Refusal):
            await refuse(upstream, responder, granted)
            return
        refusal = await self._book.look(granted.call(upstream=upstream.name, model=model, hold=MicroUsd(0)))
        if refusal is not None:
            await refuse(refusal, responder, granted)
            return
        if upstream is OFFLINE:
            tokens = await beside(granted, request.body, lambda: offline.count(body))
            await responder.send(200, json.dumps({"input_tokens": tokens}).encode())
            return
        path, headers, query = "/messages/count_tokens", request.headers, request.query
        outgoing = await beside(
            granted, request.body, lambda: self._upstreams.prepare(upstream, path, body, headers=headers, query=query)
        )
        task = granted.launch(self._ask(outgoing, responder, granted))
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.cancelled():
                raise
            await refuse(admission.attempt_over(), responder, granted)

    async def _ask(self, outgoing: Outgoing, responder: Responder, granted: Pass) -> None:
        try:
            async with self._upstreams.send(outgoing, last_look=lambda: self._book.last_look(granted)) as answer:
                status, headers, body = answer.status, down(answer.headers), await read(answer)
        except Barred as barred:
            await refuse(barred.refusal, responder, granted)
            return
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            said = of_transport(error, sent=outgoing.sent).note
            await responder.send(502, admission.error_body("api_error", f"{outgoing.upstream.name}: {said}"), NO_RETRY)
            return
        if 300 <= status < 400:  # not followed with a key
            status, headers, body = 502, {}, admission.error_body("api_error", "the upstream answered with a redirect")
        await responder.send(status, outgoing.without_key(body), headers)
