"""What a sandbox's runner talks to, on loopback: a model that counts its calls, and somebody who is told of alerts."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class _Server:
    """An HTTP server in a thread of its own, on a port the system chose."""

    def __init__(self) -> None:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                status, answer = outer.answer(body)
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                """Nobody reads it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def answer(self, body: bytes) -> tuple[int, dict[str, Any]]:
        """Status and JSON of one request."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class Model(_Server):
    """Answers as the Messages API does: five tokens, always."""

    def __init__(self) -> None:
        self._bodies: list[bytes] = []
        self.broken = False
        """Answers 500."""
        super().__init__()

    def answer(self, body: bytes) -> tuple[int, dict[str, Any]]:
        self._bodies.append(body)
        if self.broken:
            return 500, {"type": "error", "error": {"type": "api_error", "message": "broken on purpose"}}
        return 200, {
            "id": f"msg_drill_{len(self._bodies)}",
            "type": "message",
            "role": "assistant",
            "model": json.loads(body)["model"],
            "content": [{"type": "text", "text": "Understood."}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 10, "output_tokens": 5},
        }

    @property
    def calls(self) -> int:
        """That reached it."""
        return len(self._bodies)


class Receiver(_Server):
    """Is told of alerts, in whatever form they come."""

    def __init__(self) -> None:
        self.told: list[str] = []
        super().__init__()

    def answer(self, body: bytes) -> tuple[int, dict[str, Any]]:
        self.told.append(body.decode("utf-8", "replace"))
        return 200, {}
