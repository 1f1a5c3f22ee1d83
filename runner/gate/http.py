"""HTTP/1.1 on loopback: whole requests in, answers out, whole or streamed. Anything ambiguous is refused.

h11 does the parsing; this adds limits and the refusals that keep one reading of each request possible.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import h11

from runner.gate.admission import error_body

MAX_BODY_BYTES = 32 * 1024 * 1024
"""The vendor's own limit of a Messages request."""
MAX_HEADER_BYTES = 64 * 1024
IDLE_S = 600
"""A connection on which nothing comes for so long is closed."""

_REASONS = {400: "invalid_request_error", 403: "permission_error", 404: "not_found_error", 405: "invalid_request_error"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request, read whole."""

    method: str
    path: str
    """Without the query; begins with a slash, nothing decoded."""
    query: str
    headers: Mapping[str, str]
    """Names in lower case; the last of a repeated one."""
    body: bytes

    @property
    def token(self) -> str:
        """What the client sent to say who it is, in either of the two headers clients use."""
        bearer = self.headers.get("authorization", "")
        return bearer[7:].strip() if bearer[:7].lower() == "bearer " else self.headers.get("x-api-key", "").strip()


class BadRequest(Exception):
    """The request cannot be served; `status` and the sentence say why. Nothing left for an upstream."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status

    def body(self) -> bytes:
        """The answer, in the Messages wire's error form."""
        return error_body(_REASONS.get(self.status, "invalid_request_error"), str(self))


class Responder:
    """Answers one request: `send` for a whole answer, `begin`, `chunk`… and `end` for a stream."""

    def __init__(self, connection: h11.Connection, writer: asyncio.StreamWriter, *, head: bool) -> None:
        self._connection = connection
        self._writer = writer
        self._head = head
        self.begun = False
        """The status line is out: an error can no longer be said."""
        self.gone = False
        """The client left; what is sent goes nowhere."""

    async def send(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """A whole answer, JSON unless `headers` say otherwise."""
        given = {"content-type": "application/json", **(headers or {}), "content-length": str(len(body))}
        self.begun = True
        await self._write(
            h11.Response(status_code=status, headers=list(given.items())),
            *([] if self._head else [h11.Data(data=body)]),
            h11.EndOfMessage(),
        )

    async def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """The head of a streamed answer."""
        self.begun = True
        await self._write(h11.Response(status_code=status, headers=list(headers.items())))

    async def chunk(self, data: bytes) -> None:
        """A piece of a streamed answer, sent at once."""
        if data:
            await self._write(h11.Data(data=data))

    async def end(self) -> None:
        """The orderly end of a streamed answer."""
        await self._write(h11.EndOfMessage())

    async def _write(self, *parts: h11.Event) -> None:
        data = b"".join(self._connection.send(part) or b"" for part in parts)
        if self.gone:
            return
        try:
            self._writer.write(data)
            await self._writer.drain()
        except (ConnectionError, OSError):
            self.gone = True


Handler = Callable[[Request, Responder], Awaitable[None]]


async def serve_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler) -> None:
    """Serve the requests of one connection, one after the other, until it closes or one of them is refused unread."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEADER_BYTES)
    try:
        while True:
            responder = Responder(connection, writer, head=False)
            try:
                request = await asyncio.wait_for(_read(connection, reader, writer), IDLE_S)
                if request is None:
                    return
                responder = Responder(connection, writer, head=request.method == "HEAD")
                await handler(request, responder)
            except BadRequest as error:
                await responder.send(error.status, error.body(), {"x-should-retry": "false", "connection": "close"})
                return
            except h11.RemoteProtocolError as error:
                if connection.our_state is h11.IDLE or connection.our_state is h11.SEND_RESPONSE:
                    refused = BadRequest(400, f"not HTTP/1.1 as we read it: {error}")
                    await responder.send(400, refused.body(), {"connection": "close"})
                return
            if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                return
            connection.start_next_cycle()
    except (TimeoutError, ConnectionError, h11.LocalProtocolError):
        return  # the client left, or the answer was cut in the middle: closing says so
    finally:
        with suppress(ConnectionError, OSError):
            writer.close()


async def _read(
    connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Request | None:
    head: h11.Request | None = None
    body = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            if connection.they_are_waiting_for_100_continue:
                writer.write(connection.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
                await writer.drain()
            connection.receive_data(await reader.read(65_536))
        elif isinstance(event, h11.Request):
            head = event
            _check_head(event)
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > MAX_BODY_BYTES:
                raise BadRequest(413, f"the body has more than {MAX_BODY_BYTES:,} bytes")
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            path, _, query = head.target.decode("ascii").partition("?")
            return Request(
                method=head.method.decode("ascii"),
                path=path,
                query=query,
                headers={name.decode("ascii"): value.decode("latin-1") for name, value in head.headers},
                body=bytes(body),
            )
        else:  # the connection closed
            return None


def _check_head(head: h11.Request) -> None:
    names = [name for name, _ in head.headers]
    if not head.target.startswith(b"/"):
        raise BadRequest(400, "the request names another host; send a path alone")
    if b"upgrade" in names:
        raise BadRequest(400, "no upgrade is served here; send plain HTTP/1.1")
    if b"content-encoding" in names:
        raise BadRequest(415, "encoded bodies are refused, for their cost cannot be bounded; send plain JSON")
    if b"transfer-encoding" in names and b"content-length" in names:
        raise BadRequest(400, "the request has both a length and a transfer encoding")


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a body. Raises BadRequest for anything else, a repeated key included."""
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BadRequest(400, f"the body is not one plain JSON object: {error}") from None
    if not isinstance(value, dict):
        raise BadRequest(400, "the body is not a JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in it")
    return found


def _no_constant(word: str) -> object:
    raise ValueError(f"{word} is not JSON")
