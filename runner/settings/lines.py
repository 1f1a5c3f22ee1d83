"""On which line a key of a TOML text stands.

`tomllib` tells no lines, so a second, smaller pass walks the same text. It relies on `tomllib` having accepted the text
before: it finds keys and steps over values, and checks nothing.
"""

from __future__ import annotations

import bisect
import re
import tomllib
from collections.abc import Mapping

KeyPath = tuple[str | int, ...]
"""Keys from the top of the document; a number is an index into an array."""

_BLANK = re.compile(r"(?:\s|#[^\n]*)*+")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}#\n]*")
_STRING = re.compile(
    r'"""(?:[^"\\]++|\\.|"{1,2}(?!"))*+"""(?:"{0,2})'
    r"|'''(?:[^']++|'{1,2}(?!'))*+'''(?:'{0,2})"
    r'|"(?:[^"\\\n]++|\\.)*+"'
    r"|'[^'\n]*+'",
    re.DOTALL,
)


def key_lines(text: str) -> Mapping[KeyPath, int]:
    """The line, from 1, of every key, table header and array element of a text that `tomllib` accepts."""
    return _Walk(text).lines


def line_of(lines: Mapping[KeyPath, int], path: KeyPath) -> int:
    """The line of a path or, where it is absent, of the nearest thing around it; 1 when nothing is around it."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


class _Walk:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[KeyPath, int] = {}
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._array_tables: dict[KeyPath, int] = {}
        self._document()

    def _document(self) -> None:
        table: KeyPath = ()
        while self._inside(None):
            line = bisect.bisect_right(self._starts, self.at)
            if self._take("[["):
                array = self._below((), self._dotted())
                self._take("]]")
                index = self._array_tables[array] = self._array_tables.get(array, -1) + 1
                table = (*array, index)
                self._note(table, line)
            elif self._take("["):
                table = self._below((), self._dotted())
                self._take("]")
                self._note(table, line)
                self.lines[table] = line  # its own header names a table better than a child met earlier
            else:
                self._pair(table)

    def _pair(self, table: KeyPath) -> None:
        line = bisect.bisect_right(self._starts, self.at)
        path = (*table, *self._dotted())
        self._note(path, line)
        self._take("=")
        self._skip_blank()
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        if self._take("["):
            index = 0
            while self._inside("]"):
                self._note((*path, index), bisect.bisect_right(self._starts, self.at))
                self._value((*path, index))
                self._skip_blank()
                self._take(",")
                index += 1
        elif self._take("{"):
            while self._inside("}"):
                self._pair(path)
                self._skip_blank()
                self._take(",")
        else:
            match = _STRING.match(self.text, self.at) or _SCALAR.match(self.text, self.at)
            self.at = match.end() if match else len(self.text)

    def _dotted(self) -> tuple[str, ...]:
        keys: list[str] = []
        while not keys or self._take("."):
            self._skip_blank()
            keys.append(self._key())
            self._skip_blank()
        return tuple(keys)

    def _key(self) -> str:
        match = _BARE_KEY.match(self.text, self.at)
        if match:
            self.at = match.end()
            return match[0]
        match = _STRING.match(self.text, self.at)
        if not match:  # tomllib accepted what we do not understand: give up quietly, the lines found so far are right
            self.at = len(self.text)
            return ""
        self.at = match.end()
        return str(tomllib.loads(f"key = {match[0]}")["key"])

    def _below(self, path: KeyPath, keys: tuple[str, ...]) -> KeyPath:
        """A header's path; below an array of tables it means the latest of them."""
        for position, key in enumerate(keys):
            path = (*path, key)
            if path in self._array_tables and position < len(keys) - 1:
                path = (*path, self._array_tables[path])
        return path

    def _note(self, path: KeyPath, line: int) -> None:
        for length in range(1, len(path) + 1):
            self.lines.setdefault(path[:length], line)

    def _inside(self, close: str | None) -> bool:
        """Whether more stands before the closing bracket, which is stepped over; None: before the end of the text."""
        self._skip_blank()
        return self.at < len(self.text) and not (close and self._take(close))

    def _skip_blank(self) -> None:
        match = _BLANK.match(self.text, self.at)
        if match:
            self.at = match.end()

    def _take(self, word: str) -> bool:
        if not self.text.startswith(word, self.at):
            return False
        self.at += len(word)
        return True
