"""The gate: one loopback listener, one token an attempt, everything else refused."""

from __future__ import annotations

import asyncio
import json
import resource
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from runner.errors import LeaseLost, RunnerError, StoreError
from runner.gate import http, routes
from runner.gate.calls import Calls
from runner.gate.counts import Counts
from runner.gate.endpoints import ENDPOINTS
from runner.gate.http import BadRequest, Request, Responder, serve_connection, turn_away
from runner.gate.jobapi import JobApi
from runner.gate.passes import Pass, Passes

MOST_CONNECTIONS = 512
"""Open at once, or a quarter of what the system lets this process open, if that is less: the rest is for the work."""
MOST_OF_ONE = 4
"""One attempt may have this part of them, so that none shuts out the others."""
WISHED_FILES = 8192
MAX_JOB_BYTES = 8 * 1024 * 1024
"""Of a request to the job API: a step's result or a payload of a megabyte, however it is escaped."""

_NO_TOKEN = "no token was sent: the gate wants that of an attempt, as a bearer or as x-api-key"  # noqa: S105 - a sentence
_NOT_GOOD = "this token is not good (any more): it belongs to one attempt and ends with it"


@dataclass(slots=True, eq=False)
class _Line:
    """One connection."""

    writer: asyncio.StreamWriter
    token: str = ""
    """Of the attempt whose it is; empty until a request has shown one."""


class Gate:
    """Listens on 127.0.0.1 at a port of the system's choice."""

    def __init__(self, *, calls: Calls, counts: Counts, jobs: JobApi, passes: Passes, models: tuple[str, ...]) -> None:
        """`models`: ids that `GET /v1/models` lists."""
        self._calls = calls
        self._counts = counts
        self._jobs = jobs
        self._passes = passes
        self._models = models
        self._server: asyncio.Server | None = None
        self._open = 0
        self._most = MOST_CONNECTIONS
        self._strangers: dict[_Line, None] = {}
        """Connections that have not said whose they are, the oldest first."""
        self._of: Counter[str] = Counter()
        """Connections of each token."""
        self.url = ""

    async def start(self) -> None:
        """Begin to listen; `url` is known from then on."""
        self._most = min(MOST_CONNECTIONS, raise_file_limit() // 4)
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, limit=1 << 20)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"

    async def close(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = _Line(writer)
        self._open += 1
        try:
            if self._open > self._most and not self._make_room():
                await turn_away(reader, writer, linger=self._open < 2 * self._most)
            else:
                self._strangers[line] = None
                await serve_connection(reader, writer, self._serve, partial(self._admit, line))
        finally:
            self._open -= 1
            self._strangers.pop(line, None)
            self._forget(line)

    def _make_room(self) -> bool:
        """Close the connection that has been silent longest about whose it is; False when all have said it."""
        oldest = next(iter(self._strangers), None)
        if oldest is None:
            return False
        del self._strangers[oldest]
        oldest.writer.transport.abort()
        return True

    def _admit(self, line: _Line, request: Request) -> int:
        """Whoever shows no token is refused before a byte of body is taken in."""
        if _is_free(request):
            return 0
        if self._passes.of(request.token) is None:
            raise BadRequest(403, _NOT_GOOD if request.token else _NO_TOKEN)
        if line.token != request.token:
            self._forget(line)
            if self._of[request.token] >= max(1, self._most // MOST_OF_ONE):
                raise BadRequest(503, f"this attempt has {self._of[request.token]} connections open already")
            self._strangers.pop(line, None)
            line.token = request.token
            self._of[line.token] += 1
        return MAX_JOB_BYTES if request.path.startswith("/afk/v1/") else http.MAX_BODY_BYTES

    def _forget(self, line: _Line) -> None:
        if line.token:
            self._of[line.token] -= 1
            if not self._of[line.token]:
                del self._of[line.token]
            line.token = ""

    async def _serve(self, request: Request, responder: Responder) -> None:
        path, posted = routes.below_version(request.path), request.method == "POST"
        if _is_free(request):
            await responder.send(200, b"{}")
            return
        granted = self._passes.of(request.token)
        if granted is None:
            raise BadRequest(403, _NOT_GOOD)  # it ended while the body came
        if request.path.startswith("/afk/v1/"):
            await self._job(request, responder, granted)
        elif posted and path in ENDPOINTS:
            await self._calls.serve(ENDPOINTS[path], request, responder, granted)
        elif posted and path == "/messages/count_tokens":
            await self._counts.serve(request, responder, granted)
        elif request.method == "GET" and path == "/models":
            await responder.send(200, self._model_list())
        elif request.method == "GET" and path.removeprefix("/models/") in self._models:
            await responder.send(200, json.dumps(_model(path.removeprefix("/models/"))).encode())
        else:
            raise routes.refusal(request.method, request.path)

    async def _job(self, request: Request, responder: Responder, granted: Pass) -> None:
        try:
            answer = await self._jobs.serve(request, granted)
        except LeaseLost as error:
            raise BadRequest(409, str(error)) from None
        except StoreError as error:
            raise BadRequest(503, str(error)) from None
        except RunnerError as error:
            raise BadRequest(400, str(error)) from None
        await responder.send(200, json.dumps(answer).encode())

    def _model_list(self) -> bytes:
        listed = {
            "object": "list",
            "data": [_model(model) for model in self._models],
            "has_more": False,
            "first_id": self._models[0] if self._models else None,
            "last_id": self._models[-1] if self._models else None,
        }
        return json.dumps(listed).encode()


def _model(id: str) -> dict[str, object]:
    """One model, as the clients of either wire read it."""
    anthropic = {"type": "model", "id": id, "display_name": id, "created_at": "1970-01-01T00:00:00Z"}
    return {**anthropic, "object": "model", "created": 0, "owned_by": "afk-runner"}


def _is_free(request: Request) -> bool:
    """Whether it is answered to anybody: clients ask it to learn if somebody is there."""
    return routes.below_version(request.path) == "/" and request.method in ("HEAD", "GET")


def raise_file_limit() -> int:
    """Let this process open as many files as it may, up to `WISHED_FILES`; how many that is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return WISHED_FILES
    wished = WISHED_FILES if hard == resource.RLIM_INFINITY else min(WISHED_FILES, hard)
    if wished > soft:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wished, hard))
            return wished
    return soft
