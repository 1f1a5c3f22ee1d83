"""An upstream that costs as little as can be: canned Messages answers from a process of its own.

`python -m tests.bench.canned` prints its port and serves until its standard input closes.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

EVENTS = 400
GAP_S = 0.001
"""Between two events of a stream, so that each is a piece of its own on the wire."""

USAGE = {"input_tokens": 20, "output_tokens": 5}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "house-model",
    "content": [{"type": "text", "text": "Understood."}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": USAGE,
}
_BODY = json.dumps(MESSAGE).encode()
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of one connection."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            size = next(
                int(line.partition(b":")[2])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length:")
            )
            body = await reader.readexactly(size)
            if b'"stream":true' in body:
                await _stream(writer)
            else:
                writer.write(WHOLE)
            await writer.drain()
    except (asyncio.IncompleteReadError, OSError):
        writer.close()


async def _stream(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + _event("message_start", message={**MESSAGE, "content": [], "stop_reason": None}))
    writer.write(_event("content_block_start", index=0, content_block={"type": "text", "text": ""}))
    for _ in range(EVENTS):
        await asyncio.sleep(GAP_S)
        stamp = f"@{time.monotonic_ns()}@"
        writer.write(_event("content_block_delta", index=0, delta={"type": "text_delta", "text": stamp}))
    writer.write(_event("content_block_stop", index=0))
    writer.write(_event("message_delta", delta={"stop_reason": "end_turn"}, usage=USAGE))
    writer.write(_event("message_stop") + b"0\r\n\r\n")


def _event(kind: str, **fields: object) -> bytes:
    data = f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(data), data)


async def main() -> None:
    """Serve until whoever started us is gone."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
