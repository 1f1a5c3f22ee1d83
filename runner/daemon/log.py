"""The log file: one JSON object a line, rotated by size, secrets taken out by value.

Events that are rows come here from the table, so that the file and the console tell one story; what cannot be a row
(the database is not there) is said directly.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runner.redact import Redactor
from runner.store.events import Event
from runner.units import iso

FILES = 5
"""Older files beside the current one."""
MOST_BYTES = 60_000_000


class LogFile:
    """`logs/runner.jsonl` of one home; one process writes it."""

    def __init__(self, folder: Path, redactor: Redactor, *, most_bytes: int = MOST_BYTES) -> None:
        """Open it, going on where an earlier runner ended. `most_bytes`: of all its files. Raises OSError."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = folder / "runner.jsonl"
        self._redact = redactor
        self.last_seq = _last_seq(self.path)
        """Id of the newest event that is in the file; None: there is none."""
        os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600))
        self._handler = logging.handlers.RotatingFileHandler(
            self.path, maxBytes=most_bytes // (FILES + 1), backupCount=FILES, encoding="utf-8", errors="replace"
        )
        self._handler.handleError = lambda _: None  # type: ignore[assignment, method-assign] # a full disk must not stop us

    def events(self, rows: Sequence[Event]) -> None:
        """Write rows of `events`, together: a home at full speed leaves a thousand a second."""
        if rows:
            self._write([_fields(event) for event in rows])
            self.last_seq = rows[-1].id

    def say(self, level: str, event: str, text: str, **fields: Any) -> None:
        """Write a line that is no row."""
        told = {name: value for name, value in fields.items() if value is not None}
        self._write([{"ts": iso(time.time_ns() // 1_000_000), "level": level, "event": event, "text": text, **told}])

    def _write(self, lines: list[dict[str, Any]]) -> None:
        text = "\n".join(map(_encoded, lines))
        self._handler.emit(logging.LogRecord("afk", logging.INFO, "", 0, self._redact(text), None, None))

    def close(self) -> None:
        """Flush and close."""
        self._handler.close()


_encoded = json.JSONEncoder(ensure_ascii=False).encode


def _fields(event: Event) -> dict[str, Any]:
    fields = {"ts": iso(event.at), "level": event.level, "event": event.event, "seq": event.id}
    if event.task is not None:
        fields["task"] = event.task
    if event.job is not None:
        fields["job"] = event.job
    if event.attempt is not None:
        fields["attempt"] = event.attempt
    fields["text"] = event.text
    return fields


def _last_seq(path: Path) -> int | None:
    """The id of the last event in the file, from its end."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 256 * 1024))
            lines = file.read().splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        try:
            seq = json.loads(line).get("seq")
        except (ValueError, AttributeError):
            continue
        if isinstance(seq, int):
            return seq
    return None
