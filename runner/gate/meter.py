"""What the readers of usage share, whatever the wire: the bytes of a stream cut into events, and counts believed late.

Everything read comes from outside and may be of any shape. What it does not say clearly is not guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runner.gate.sse import Events, TooLong
from runner.gate.usage import MOST_TOKENS, Usage


class Unclear(ValueError):
    """The answer does not say what it used."""


class StreamMeter:
    """Reads the usage of a streamed answer from its bytes as they pass, wherever the chunks are cut.

    Keeps counts, never content: at most one line and the data of one event that is not content.
    """

    content: frozenset[str] = frozenset()
    """Names of events that say nothing of usage."""
    error_type: str | None = None
    """Of the error, if one came inside the stream."""
    broken = False
    """The bytes are no stream of this wire, or say impossible things; nothing is read from there on."""

    def __init__(self, requested_model: str) -> None:
        self._requested = requested_model
        self._events = Events(content=self.content)

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body, already decoded from any content encoding. Never raises."""
        if self.broken:
            return
        try:
            for name, data in self._events.feed(chunk):
                self._take(name, data)
        except (Unclear, TooLong):
            self.broken = True
            self._events = Events(content=self.content)

    def opening(self) -> Usage | None:
        """The whole input as the start of the stream told it, its output 0; None while it is not known, or may grow."""
        return None

    def complete(self) -> Usage | None:
        """The final usage; None until the stream told it and its end, and for ever after an error."""
        if self.broken or self.error_type is not None:
            return None
        try:
            return self._told()
        except Unclear:
            return None

    def _take(self, name: str, data: bytes) -> None:
        """One event. Raises Unclear where it makes no sense."""
        raise NotImplementedError

    def _told(self) -> Usage | None:
        """The final usage of a stream without an error, once it has ended. Raises Unclear."""
        raise NotImplementedError


def count(usage: Mapping[str, Any], key: str, *, required: bool = False) -> int:
    """A number of tokens or of uses; 0 where it is left out and need not be there. Raises Unclear."""
    value = usage.get(key)
    if value is None and not required:
        return 0
    if type(value) is not int or not 0 <= value <= MOST_TOKENS:  # a bool is an int to isinstance
        raise Unclear
    return value


def mapping(value: object, *, required: bool = False) -> Mapping[str, Any]:
    """An object; an empty one where it is left out and need not be there. Raises Unclear."""
    if value is None and not required:
        return {}
    if not isinstance(value, dict):
        raise Unclear
    return value
