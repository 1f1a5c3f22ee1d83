"""A stand-in for a model vendor: speaks both wires over real sockets and does what it is told.

It checks nothing and remembers everything. What it should do next is queued with `script`; with nothing queued it
answers well. One thread with its own loop, so that tests of every kind (sync, async, with child processes) can use it.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
import zlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import h11

from tests import openai_wire
from tests.openai_wire import CHAT, RESPONSES

PATIENCE_S = 60.0
"""How long a test waits for something before it fails; a machine under load is slow."""

TURNS = 100
"""Of a loop, in which it takes in what lies in its sockets: a new connection needs a few, each read another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """How one request is answered. The class methods below build the usual ones."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    """Sent as it is; None: a message made of the fields below, whole or streamed as the request asks."""
    pieces: tuple[bytes, ...] | None = None
    """A stream, sent as it is in these pieces, whatever the request asks."""
    split: int | None = None
    """A stream is sent in pieces of so many bytes, cut wherever that falls."""
    packing: str | None = None
    """`gzip` or `deflate`: the body is compressed, whatever the client accepts."""
    error_after: int | None = None
    """A stream breaks off with an error event after that many others."""
    text: str = "Understood."
    model: str | None = None
    """None: the one asked for."""
    usage: Mapping[str, Any] | None = field(default_factory=lambda: {"input_tokens": 10, "output_tokens": 5})
    """None: the answer says nothing about it."""
    hold: threading.Event | None = None
    """Nothing more is sent until it is set or the client has gone."""
    hold_after: int = 0
    """Events sent before `hold`; 0: before the status line."""
    cut_after: int | None = None
    """The connection is closed after that many events of a stream, or bytes of a whole body."""

    @classmethod
    def ok(cls, text: str = "Understood.", *, model: str | None = None, **usage: Any) -> Self:
        """A good answer; `usage` counts replace 10 tokens in and 5 out."""
        return cls(text=text, model=model, usage={"input_tokens": 10, "output_tokens": 5, **usage})

    @classmethod
    def error(
        cls,
        status: int,
        kind: str = "api_error",
        message: str = "as scripted",
        *,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Self:
        """A refusal in the vendor's words, those of both wires."""
        error = {"type": kind, "message": message, "code": code, "details": {"error_code": code}}
        body = {"type": "error", "error": error}
        return cls(status=status, headers=headers or {}, body=json.dumps(body).encode())

    @classmethod
    def hang(cls, until: threading.Event, *, after: int = 0) -> Self:
        """A good answer, kept back (from the event numbered `after` on) until the test says so."""
        return cls(hold=until, hold_after=after)

    @classmethod
    def cut(cls, after: int) -> Self:
        """A stream that ends in the air after so many events."""
        return cls(cut_after=after)

    @classmethod
    def without_usage(cls) -> Self:
        return cls(usage=None)

    @classmethod
    def garbage(cls, body: bytes = b"\x00<html>not a model</html>") -> Self:
        return cls(body=body)


@dataclass(slots=True, kw_only=True)
class Received:
    """One request as it came in."""

    method: str
    path: str
    """With its query."""
    headers: Mapping[str, str]
    """Names in lower case."""
    raw: bytes
    body: Any
    """The parsed JSON; None if it is none."""
    gone: threading.Event = field(default_factory=threading.Event)
    """Set when the client hung up before it had the whole answer."""


class FakeAnthropic:
    """The server. `with FakeAnthropic() as upstream:` listens on a free port of 127.0.0.1 until the block ends."""

    def __init__(self, *, default: Reply | None = None) -> None:
        self.default = default or Reply()
        self.requests: list[Received] = []
        self.shown: list[str] = []
        """Models it was asked about, as an Ollama daemon is."""
        self.show: dict[str, Reply] = {}
        """What it says of them; it has never heard of any other."""
        self._script: deque[Reply] = deque()
        self._arrived = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="fake-anthropic", daemon=True)
        self._ready = threading.Event()
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def script(self, *replies: Reply) -> None:
        """Queue answers for the next calls of a model; after them comes `default` again."""
        with self._arrived:
            self._script.extend(replies)

    def unscript(self) -> None:
        """Forget the answers that are still queued."""
        with self._arrived:
            self._script.clear()

    def wait_for(self, count: int) -> list[Received]:
        """The first `count` requests, once that many have arrived."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self.requests) >= count, PATIENCE_S):
                raise AssertionError(f"{len(self.requests)} of {count} requests arrived")
            return self.requests[:count]

    def caught_up(self) -> int:
        """How many requests have come, those counted whose last byte was sent before it was asked."""
        asyncio.run_coroutine_threadsafe(_turns(TURNS), self._loop).result(PATIENCE_S)
        with self._arrived:
            return len(self.requests)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(PATIENCE_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*asyncio.all_tasks(self._loop), return_exceptions=True))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER)
        try:
            while (received := await self._receive(connection, reader)) is not None:
                with self._arrived:
                    if received.path == "/api/show":
                        reply = self._show(received.body["model"])
                    else:
                        self.requests.append(received)
                        self._arrived.notify_all()
                        reply = self._reply(received)
                if not await self._answer(connection, reader, writer, received, reply):
                    break
                connection.start_next_cycle()
        except (h11.ProtocolError, OSError):
            pass
        except asyncio.CancelledError:
            pass  # the server is closing; a raised one would only be printed by the loop
        finally:
            writer.close()

    async def _receive(self, connection: h11.Connection, reader: asyncio.StreamReader) -> Received | None:
        request: h11.Request | None = None
        raw = bytearray()
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await reader.read(65536))
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                raw += event.data
            elif isinstance(event, h11.EndOfMessage) and request is not None:
                try:
                    body = json.loads(raw)
                except ValueError:
                    body = None
                return Received(
                    method=request.method.decode(),
                    path=request.target.decode(),
                    headers={name.decode().lower(): value.decode("latin-1") for name, value in request.headers},
                    raw=bytes(raw),
                    body=body,
                )
            else:
                return None

    def _reply(self, received: Received) -> Reply:
        path = received.path.partition("?")[0]
        if received.method == "POST" and path in ("/v1/messages", f"/v1{CHAT}", f"/v1{RESPONSES}"):
            return self._script.popleft() if self._script else self.default
        if received.method == "POST" and path == "/v1/messages/count_tokens":
            return Reply(body=json.dumps({"input_tokens": len(received.raw) // 4}).encode())
        return Reply.error(404, "not_found_error", f"nothing at {path}")

    def _show(self, model: str) -> Reply:
        self.shown.append(model)
        missing = Reply(status=404, body=json.dumps({"error": f"model {model!r} not found"}).encode())
        return self.show.get(model, missing)

    async def _answer(
        self,
        connection: h11.Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        received: Received,
        reply: Reply,
    ) -> bool:
        """Send the answer; whether the connection can carry another request."""
        asked = isinstance(received.body, dict) and received.body.get("stream") is True
        streamed = reply.pieces is not None or (reply.body is None and asked)
        parts = events(reply, received) if streamed else [body(reply, received)]
        if reply.packing is not None:
            parts = [_packed(b"".join(parts), reply.packing)]
        if reply.split is not None:
            whole = b"".join(parts)
            parts = [whole[start : start + reply.split] for start in range(0, len(whole), reply.split)]
        if reply.cut_after is not None:
            parts = parts[: reply.cut_after] if streamed else [parts[0][: reply.cut_after]]
        if reply.hold is not None and reply.hold_after == 0 and not await _held(reply.hold, reader, received):
            return False
        framing = (
            {"content-type": "text/event-stream", "transfer-encoding": "chunked"}
            if streamed
            else {"content-type": "application/json", "content-length": str(sum(map(len, parts)))}
        )
        if reply.cut_after is not None and not streamed:
            framing["content-length"] = str(len(body(reply, received)))
        packing = {"content-encoding": reply.packing} if reply.packing is not None else {}
        headers = {**framing, **packing, "request-id": f"req_{len(self.requests)}", **reply.headers}
        writer.write(connection.send(h11.Response(status_code=reply.status, headers=list(headers.items()))) or b"")
        for sent, part in enumerate(parts):
            if (
                reply.hold is not None
                and reply.hold_after == sent > 0
                and not await _held(reply.hold, reader, received)
            ):
                return False
            writer.write(connection.send(h11.Data(data=part)) or b"")
            try:
                await writer.drain()
            except OSError:
                received.gone.set()
                raise
        if reply.cut_after is not None:
            return False
        writer.write(connection.send(h11.EndOfMessage()) or b"")
        await writer.drain()
        return connection.our_state is h11.DONE and connection.their_state is h11.DONE


async def _turns(count: int) -> None:
    """Let the loop look at its sockets so often."""
    for _ in range(count):
        await asyncio.sleep(0)


async def _held(until: threading.Event, reader: asyncio.StreamReader, received: Received) -> bool:
    """Wait for the test's word; False if the client hung up first."""
    loop, released = asyncio.get_running_loop(), asyncio.Event()

    def watch() -> None:
        until.wait()
        if not loop.is_closed():
            loop.call_soon_threadsafe(released.set)

    threading.Thread(target=watch, name="fake-anthropic-hold", daemon=True).start()
    word, end = asyncio.create_task(released.wait()), asyncio.create_task(reader.read(1))
    try:
        await asyncio.wait({word, end}, return_when=asyncio.FIRST_COMPLETED)
        if not word.done():
            received.gone.set()
        return word.done()
    finally:
        word.cancel()
        end.cancel()
        await asyncio.gather(word, end, return_exceptions=True)


def message(reply: Reply, body: Any) -> dict[str, Any]:
    """The whole message of a reply, as the vendor would send it."""
    asked = body.get("model", "unknown") if isinstance(body, dict) else "unknown"
    built = {
        "id": "msg_01FakeFakeFakeFake",
        "type": "message",
        "role": "assistant",
        "model": reply.model or asked,
        "content": [{"type": "text", "text": reply.text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
    }
    return built if reply.usage is None else {**built, "usage": dict(reply.usage)}


def asked_for(path: str, body: Any) -> Received:
    """A request as it would come in, to make an answer for by hand."""
    return Received(method="POST", path=path, headers={}, raw=json.dumps(body).encode(), body=body)


def events(reply: Reply, received: Received) -> list[bytes]:
    """The answer as the events of the wire it was asked for on."""
    if reply.pieces is not None:
        return list(reply.pieces)
    asked = received.body
    model = reply.model or asked.get("model", "unknown")
    if received.path.endswith(CHAT):
        told = (asked.get("stream_options") or {}).get("include_usage") is True
        made = openai_wire.chat_events(reply.text, model, reply.usage, told=told)
        error = openai_wire.data({"error": {"message": "as scripted", "type": "server_error", "code": None}})
    elif received.path.endswith(RESPONSES):
        made = openai_wire.response_events(reply.text, model, reply.usage)
        error = openai_wire.named("error", code="server_error", message="as scripted", param=None, sequence_number=9)
    else:
        made = message_events(reply, asked)
        error = _event("error", error={"type": "overloaded_error", "message": "as scripted"})
    return made if reply.error_after is None else [*made[: reply.error_after], error]


def message_events(reply: Reply, body: Any) -> list[bytes]:
    """A message as the vendor's events: start, block start, ping, one delta a word, block stop, delta, stop."""
    whole = message(reply, body)
    opening = {**whole, "content": [], "stop_reason": None}
    ending: dict[str, Any] = {"delta": {"stop_reason": "end_turn", "stop_sequence": None}}
    if reply.usage is not None:
        opening["usage"] = {**reply.usage, "output_tokens": 1}
        ending["usage"] = {"output_tokens": reply.usage.get("output_tokens")}
    words = reply.text.split(" ")
    pieces = [word if place == 0 else f" {word}" for place, word in enumerate(words)]
    return [
        _event("message_start", message=opening),
        _event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        _event("ping"),
        *(_event("content_block_delta", index=0, delta={"type": "text_delta", "text": piece}) for piece in pieces),
        _event("content_block_stop", index=0),
        _event("message_delta", **ending),
        _event("message_stop"),
    ]


def body(reply: Reply, received: Received) -> bytes:
    """A whole answer on the wire it was asked for on."""
    if reply.body is not None:
        return reply.body
    asked = received.body
    model = reply.model or (asked.get("model", "unknown") if isinstance(asked, dict) else "unknown")
    if received.path.endswith(CHAT):
        return json.dumps(openai_wire.chat(reply.text, model, reply.usage)).encode()
    if received.path.endswith(RESPONSES):
        return json.dumps(openai_wire.response(reply.text, model, reply.usage)).encode()
    return json.dumps(message(reply, asked)).encode()


def _packed(body: bytes, packing: str) -> bytes:
    return gzip.compress(body) if packing == "gzip" else zlib.compress(body) if packing == "deflate" else body


def _event(name: str, **fields: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **fields})}\n\n".encode()
