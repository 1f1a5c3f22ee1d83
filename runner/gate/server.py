"""The gate: one loopback listener, one token an attempt, everything else refused."""

from __future__ import annotations

import asyncio
import json
import time

from runner.errors import LeaseLost, RunnerError, StoreError
from runner.gate.http import BadRequest, Request, Responder, serve_connection
from runner.gate.jobapi import JobApi
from runner.gate.messages import Messages
from runner.gate.passes import Pass, Passes


class Gate:
    """Listens on 127.0.0.1 at a port of the system's choice."""

    def __init__(self, *, messages: Messages, jobs: JobApi, passes: Passes, models: tuple[str, ...]) -> None:
        """`models`: ids that `GET /v1/models` lists."""
        self._messages = messages
        self._jobs = jobs
        self._passes = passes
        self._models = models
        self._server: asyncio.Server | None = None
        self.url = ""

    async def start(self) -> None:
        """Begin to listen; `url` is known from then on."""
        self._server = await asyncio.start_server(
            lambda reader, writer: serve_connection(reader, writer, self._serve), "127.0.0.1", 0, limit=1 << 20
        )
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"

    async def close(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, request: Request, responder: Responder) -> None:
        path = request.path if not request.path.startswith("/v1/v1/") else request.path[3:]
        if path == "/" and request.method in ("HEAD", "GET"):
            await responder.send(200, b"{}")
            return
        granted = self._passes.of(request.token)
        if granted is None:
            raise BadRequest(403, "this token is not good (any more): it belongs to one attempt and ends with it")
        if path.startswith("/afk/v1/"):
            await self._job(request, responder, granted)
        elif path in ("/v1/messages", "/messages") and request.method == "POST":
            await self._messages.serve(request, responder, granted)
        elif path in ("/v1/models", "/models") and request.method == "GET":
            await responder.send(200, self._model_list())
        else:
            raise BadRequest(404, f"{request.method} {request.path[:100]} is not served here; POST /v1/messages is")

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
        data = [
            {
                "type": "model",
                "id": model,
                "display_name": model,
                "created_at": time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime(0)),
            }
            for model in self._models
        ]
        listed = {"data": data, "has_more": False, "first_id": None, "last_id": None}
        return json.dumps(listed).encode()
