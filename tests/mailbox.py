"""A place alerts go: a real server on the loopback that takes them, refuses them, or lets them wait."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "tok3n-5f6e7d8c9b0a1f2e"


class Mailbox:
    """Speaks what apprise's `json://` speaks."""

    def __init__(self) -> None:
        self.status = 200
        """Of the answer to whatever comes from now on, however long it waits for that."""
        self.taken: list[dict[str, Any]] = []
        """Messages that were answered with 200, in order."""
        self.asked = 0
        """Messages that came, however they were answered."""
        self.answered = 0
        """Of those, the ones whose place in `taken` is decided."""
        self.open = threading.Event()
        """Cleared: nobody is answered."""
        self.open.set()
        self.counting = threading.Lock()
        mailbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                message = json.loads(self.rfile.read(int(self.headers["content-length"])))
                status = mailbox.status
                with mailbox.counting:
                    mailbox.asked += 1
                mailbox.open.wait(60)
                if status == 200:
                    mailbox.taken.append(message)
                with mailbox.counting:
                    mailbox.answered += 1
                try:
                    self.send_response(status)
                    self.end_headers()
                except OSError:
                    pass  # who asked has not waited

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        """With a password, as addresses have one."""
        return f"json://afk:{SECRET}@127.0.0.1:{self._server.server_port}/hook"

    @property
    def titles(self) -> list[str]:
        """Of what was taken, without the host."""
        return [message["title"].partition(": ")[2] for message in self.taken]

    @property
    def texts(self) -> list[str]:
        """First lines of what was taken."""
        return [message["message"].split("\n")[0] for message in self.taken]

    def close(self) -> None:
        """Answer nobody any more."""
        self.open.set()
        self._server.shutdown()
        self._server.server_close()
