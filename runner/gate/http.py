"""HTTP/1.1 on loopback: whole requests in, answers out, whole or streamed. Anything ambiguous is refused.

h11 does the parsing; this adds limits and the refusals that keep one reading of each request possible.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import h11

from runner.gate.admission import error_body

MAX_BODY_BYTES = 32 * 1024 * 1024
"""The vendor's own limit of a Messages request."""
MAX_HEADER_BYTES = 64 * 1024
IDLE_S = 600
"""A connection on which no whole request comes for so long is closed."""
EVENTS_AT_ONCE = 256
"""Pieces of a body that are taken in before others get their turn: of the smallest, one read holds ten thousand."""
LINGER_S = 2
"""How long the rest of a request that was refused unread is taken in, so that its sender gets to read the answer."""

NO_RETRY = {"x-should-retry": "false"}
"""Both vendors' clients stop on it at once."""

_KINDS = {403: "permission_error", 404: "not_found_error", 413: "request_too_large", 500: "api_error", 503: "api_error"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request, read whole."""

    method: str
    path: str
    """Without the query; begins with a slash, nothing decoded."""
    query: str
    headers: Mapping[str, str]
    """Names in lower case; the values of a repeated one in a row, between commas."""
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
        return error_body(_KINDS.get(self.status, "invalid_request_error"), str(self))


class Responder:
    """Answers one request: `send` for a whole answer, `begin`, `chunk`… and `end` for a stream."""

    def __init__(self, connection: h11.Connection, writer: asyncio.StreamWriter) -> None:
        self._connection = connection
        self._writer = writer
        self._gone = False
        self._left = False
        self._when_left: Callable[[], None] | None = None
        self.head = False
        """The request was a HEAD: its answer has no body."""
        self.begun = False
        """The status line is out: an error can no longer be said."""

    def when_left(self, act: Callable[[], None]) -> None:
        """Have `act` called when the client hangs up; at once if it has."""
        self._when_left = act
        if self._left:
            act()

    def left(self) -> None:
        """The client closed its side. It may still read: only a write that fails proves that nobody does."""
        self._left = True
        if self._when_left is not None:
            self._when_left()

    async def send(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """A whole answer, JSON unless `headers` say otherwise."""
        given = {"content-type": "application/json", **(headers or {}), "content-length": str(len(body))}
        self.begun = True
        await self._write(
            h11.Response(status_code=status, headers=_encoded(given)),
            *([] if self.head else [h11.Data(data=body)]),
            h11.EndOfMessage(),
        )

    async def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """The head of a streamed answer."""
        self.begun = True
        await self._write(h11.Response(status_code=status, headers=_encoded(headers)))

    async def chunk(self, data: bytes) -> None:
        """A piece of a streamed answer, sent at once."""
        if data:
            await self._write(h11.Data(data=data))

    async def end(self) -> None:
        """The orderly end of a streamed answer."""
        await self._write(h11.EndOfMessage())

    async def _write(self, *parts: h11.Event) -> None:
        data = b"".join(self._connection.send(part) or b"" for part in parts)
        if self._gone:
            return
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError:
            self._gone = True
            self.left()


Handler = Callable[[Request, Responder], Awaitable[None]]
Admit = Callable[[Request], int]
"""Asked when the head of a request is read and its body is not: how many bytes of body it may have, or BadRequest."""


async def serve_connection(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler, admit: Admit
) -> None:
    """Serve the requests of one connection, one after the other, until it closes or one of them is refused."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEADER_BYTES)
    try:
        while await _serve_one(connection, reader, writer, handler, admit):
            connection.start_next_cycle()
        if connection.their_state in (h11.SEND_BODY, h11.ERROR):
            await _linger(reader, writer)
    except (TimeoutError, OSError, h11.LocalProtocolError):
        return  # the client left or was silent for too long: closing says so
    finally:
        with suppress(OSError):
            writer.close()


async def turn_away(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, linger: bool) -> None:
    """Answer a connection that is one too many, unread, and close it."""
    try:
        await _refuse(Responder(h11.Connection(h11.SERVER), writer), BadRequest(503, "too many connections are open"))
        if linger:
            await _linger(reader, writer)
    except (TimeoutError, OSError):
        return
    finally:
        with suppress(OSError):
            writer.close()


async def _serve_one(
    connection: h11.Connection,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    handler: Handler,
    admit: Admit,
) -> bool:
    """One request; whether the connection can carry another."""
    responder = Responder(connection, writer)
    try:
        request = await asyncio.wait_for(_read(connection, reader, writer, admit), IDLE_S)
        if request is None:
            return False
        responder.head = request.method == "HEAD"
        await _watched(connection, reader, responder, handler(request, responder))
    except BadRequest as error:
        await _refuse(responder, error)
        return False
    except h11.RemoteProtocolError as error:
        if connection.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            await _refuse(responder, BadRequest(error.error_status_hint, f"not HTTP/1.1 as we read it: {error}"))
        return False
    return connection.our_state is h11.DONE and connection.their_state is h11.DONE


async def _refuse(responder: Responder, error: BadRequest) -> None:
    await responder.send(error.status, error.body(), {**NO_RETRY, "connection": "close"})


async def _watched(
    connection: h11.Connection, reader: asyncio.StreamReader, responder: Responder, work: Awaitable[None]
) -> None:
    """Do the work of a request while looking whether its client leaves. A fault of ours is answered, then raised."""
    watch = asyncio.ensure_future(_watch(connection, reader, responder))
    try:
        await work
    except BadRequest:
        raise
    except Exception as error:  # ours, whatever it is: a client that waits for ever would be one more
        if not responder.begun:
            fault = BadRequest(500, f"a fault of the gate, nothing more will come: {type(error).__name__}")
            await _refuse(responder, fault)
        raise
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)  # two cannot read at once


async def _watch(connection: h11.Connection, reader: asyncio.StreamReader, responder: Responder) -> None:
    """Take in what the client sends ahead, in bounds, to notice that it closes."""
    ahead = 0
    while ahead < MAX_HEADER_BYTES:
        try:
            data = await reader.read(65_536)
        except OSError:
            data = b""
        connection.receive_data(data)
        if not data:
            responder.left()
            return
        ahead += len(data)


async def _linger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Closing on unread bytes makes the kernel throw away the answer that is on its way."""
    writer.write_eof()
    async with asyncio.timeout(LINGER_S):
        while await reader.read(65_536):
            pass


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """An upstream's header may hold any byte; a character that is none becomes a question mark."""
    return [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]


async def _read(
    connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, admit: Admit
) -> Request | None:
    head: Request | None = None
    most, pieces = 0, 0
    body = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            if connection.they_are_waiting_for_100_continue:
                writer.write(connection.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
                await writer.drain()
            connection.receive_data(await reader.read(65_536))
        elif isinstance(event, h11.Request):
            _check_head(event)
            head = _request_of(event)
            most = admit(head)
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > most:
                raise BadRequest(413, f"the body has more than {most:,} bytes")
            pieces += 1
            if pieces % EVENTS_AT_ONCE == 0:
                await asyncio.sleep(0)
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            return replace(head, body=bytes(body))
        else:  # the connection closed
            return None


def _request_of(head: h11.Request) -> Request:
    """The request without its body."""
    path, _, query = head.target.decode("ascii").partition("?")
    headers: dict[str, str] = {}
    for name, value in head.headers:
        key, text = name.decode("ascii"), value.decode("latin-1")
        headers[key] = f"{headers[key]},{text}" if key in headers else text
    return Request(method=head.method.decode("ascii"), path=path, query=query, headers=headers, body=b"")


def _check_head(head: h11.Request) -> None:
    names = [name for name, _ in head.headers]
    size = dict(head.headers).get(b"content-length", b"0")
    if head.http_version not in (b"1.0", b"1.1"):
        raise BadRequest(505, "only HTTP/1.1 is spoken here")
    if not head.target.startswith(b"/"):
        raise BadRequest(400, "the request names another host; send a path alone")
    if b"upgrade" in names:
        # Clients that would rather have a socket take the first 426 for the word to go on without one.
        raise BadRequest(426 if head.method == b"GET" else 400, "no upgrade is served here; send plain HTTP/1.1")
    if b"content-encoding" in names:
        raise BadRequest(415, "encoded bodies are refused, for their cost cannot be bounded; send plain JSON")
    if b"transfer-encoding" in names and b"content-length" in names:
        raise BadRequest(400, "the request has both a length and a transfer encoding")
    if names.count(b"authorization") > 1 or names.count(b"x-api-key") > 1:
        raise BadRequest(400, "the request says twice who sends it")
    if int(size) > MAX_BODY_BYTES:
        raise BadRequest(413, f"the body has more than {MAX_BODY_BYTES:,} bytes")
