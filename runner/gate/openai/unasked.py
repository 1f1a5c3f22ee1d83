"""Takes the usage chunk out of a chat stream whose client did not ask for it.

The gate asks every stream to tell its usage. Many clients of this wire read `choices[0]` of each chunk and would break
on the one that has none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from runner.gate.sse import MOST_LINE

_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")


def passer(body: Mapping[str, Any]) -> Unasked | None:
    """What stands between the stream and the client that sent the body; None: it asked for its usage itself."""
    options = body.get("stream_options")
    return None if isinstance(options, dict) and options.get("include_usage") is True else Unasked()


class Unasked:
    """Passes on whole events as soon as they are whole, which is when a client can use them, and drops the one."""

    def __init__(self) -> None:
        self._kept = b""
        self._through = False

    def take(self, chunk: bytes) -> bytes:
        """What to pass on now."""
        if self._through:
            return chunk
        seen = max(0, len(self._kept) - 3)  # no end stands before it, or it would not have been kept
        self._kept += chunk
        if len(self._kept) > MOST_LINE:  # no stream of events: nothing in it is ours to take out
            self._through = True
            return self.rest()
        passed, start = [], 0
        for end in _END.finditer(self._kept, seen):
            event = self._kept[start : end.end()]
            start = end.end()
            if not _is_usage(event):
                passed.append(event)
        self._kept = self._kept[start:]
        return b"".join(passed)

    def rest(self) -> bytes:
        """What was kept back, at the end."""
        rest, self._kept = self._kept, b""
        return rest


def _is_usage(event: bytes) -> bool:
    if b'"usage"' not in event:
        return False
    data = b"\n".join(line[5:] for line in event.splitlines() if line.startswith(b"data:"))
    try:
        chunk = json.loads(data)
    except (ValueError, RecursionError):
        return False
    return isinstance(chunk, dict) and chunk.get("choices") == [] and isinstance(chunk.get("usage"), dict)
