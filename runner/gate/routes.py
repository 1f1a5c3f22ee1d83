"""Which paths the gate serves, and why it refuses the others. Clients write the version once, twice or not at all."""

from __future__ import annotations

from runner.gate.http import BadRequest

_SERVED = "POST /v1/messages, /v1/chat/completions and /v1/responses are served"
_LATER = frozenset(
    {
        *("batches", "files", "uploads", "fine_tuning", "vector_stores", "assistants", "threads", "conversations"),
        *("sessions", "agents", "deployments", "dreams", "environments", "skills", "evals", "containers"),
    }
)
_OTHERWISE = {
    **dict.fromkeys(("realtime", "audio"), "sound"),
    **dict.fromkeys(("images", "videos"), "pictures and films"),
    **dict.fromkeys(("embeddings", "moderations", "rerank"), "anything but an answer in text"),
    "completions": "the old completions",
}


def below_version(path: str) -> str:
    """The path without its `/v1`, however often a base URL and a client both put it there."""
    while path.startswith("/v1/"):
        path = path[3:]
    return "/" if path == "/v1" else path


def refusal(method: str, path: str) -> BadRequest:
    """Why a path is not served."""
    parts = below_version(path).strip("/").split("/")
    said = f"{method} {path[:100]}"
    if parts[0] in _LATER or parts[:2] == ["messages", "batches"]:
        return BadRequest(
            404, f"{said} is refused: what it starts is worked on and paid later, when no money is held; {_SERVED}"
        )
    if parts[0] == "responses" and len(parts) > 1:
        return BadRequest(404, f"{said} is refused: what the vendor keeps cannot be seen or priced here; {_SERVED}")
    if parts[0] in _OTHERWISE:
        return BadRequest(404, f"{said} is refused: {_OTHERWISE[parts[0]]} has no price here; {_SERVED}")
    return BadRequest(404, f"{said} is not served here; {_SERVED}")
