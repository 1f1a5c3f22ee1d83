"""Cuts the bytes of a streamed answer into server-sent events, wherever the chunks were cut.

Source: the WHATWG HTML standard, § 9.2.6.
"""

from __future__ import annotations

from collections.abc import Iterator

MOST_LINE = 8 * 1024 * 1024
"""Bytes of one line, and of one event's data, beyond which a stream is given up."""


class TooLong(ValueError):
    """A line or an event passed `MOST_LINE`; nothing more is read of the stream."""


class Events:
    """Keeps at most one line and the data of one event that is not content."""

    def __init__(self, *, content: frozenset[str] = frozenset()) -> None:
        """`content`: names of events whose data is dropped unread."""
        self._content = content
        self._line = bytearray()
        self._name = ""
        self._data = bytearray()
        self._after_cr = False
        self._first = True

    def feed(self, chunk: bytes) -> Iterator[tuple[str, bytes]]:
        """Events completed by the chunk, as (name, data); those of content are left out."""
        if self._after_cr and chunk[:1] == b"\n":
            chunk = chunk[1:]
            self._after_cr = False
        for piece in chunk.splitlines(keepends=True):  # bytes end lines at \n, \r and \r\n alone, as SSE does
            self._after_cr = piece.endswith(b"\r")
            self._line += piece.rstrip(b"\r\n")
            if len(self._line) > MOST_LINE:
                raise TooLong
            if piece.endswith((b"\r", b"\n")):
                line = bytes(self._line)
                self._line.clear()
                if self._first:
                    self._first = False
                    line = line.removeprefix(b"\xef\xbb\xbf")
                yield from self._take(line)

    def _take(self, line: bytes) -> Iterator[tuple[str, bytes]]:
        if not line:
            name, data = self._name, bytes(self._data.removesuffix(b"\n"))
            self._name = ""
            self._data.clear()
            if data and name not in self._content:
                yield name, data
            return
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"event":
            self._name = value.decode("utf-8", "replace")
        elif field == b"data" and self._name not in self._content:
            self._data += value + b"\n"
            if len(self._data) > MOST_LINE:
                raise TooLong
