"""JSON read and written at once, or in small pieces between which other threads get their turn.

What the interpreter does in C it does to the end: half a second for half a million members, in which no kill is heard
and no call goes on. In a thread, in turns, the same takes longer, and nobody waits for it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from json import scanner
from json.decoder import JSONDecoder
from json.encoder import encode_basestring
from typing import Any, TypeVar

PIECE = 1 << 17
"""Characters that are worked on at once: some milliseconds."""

_here = threading.local()
_Text = TypeVar("_Text", str, bytes)
_T = TypeVar("_T")


def in_turns(work: Callable[[], _T]) -> _T:
    """Do work in a thread; what it reads and writes here it reads and writes in pieces."""
    _here.takes_turns = True
    try:
        return work()
    finally:
        _here.takes_turns = False


def loads(text: str, **hooks: Any) -> Any:
    """As `json.loads`, with the same hooks. Raises what it does."""
    if not _takes_turns():
        return json.loads(text, **hooks)
    decoder = JSONDecoder(**hooks)
    decoder.scan_once = scanner.py_make_scanner(decoder)  # type: ignore[attr-defined]
    return decoder.decode(text)


def dumps(value: Any, *, sort_keys: bool = False, sent: bool = False) -> str:
    """As `json.dumps` of plain JSON, whose keys are texts, without escapes for what is no ASCII.

    `sent`: as it goes to an upstream, without spaces; raises ValueError for a number that JSON has no word for.
    """
    if not _takes_turns():
        separators = (",", ":") if sent else None
        return json.dumps(value, ensure_ascii=False, allow_nan=not sent, sort_keys=sort_keys, separators=separators)
    pieces: list[str] = []
    _write(value, pieces, sort_keys, sent)
    return "".join(pieces)


def slices(text: _Text) -> Iterator[_Text]:
    """Text or bytes, piece by piece."""
    return (text[start : start + PIECE] for start in range(0, len(text), PIECE))


def _takes_turns() -> bool:
    return getattr(_here, "takes_turns", False)


def _write(value: Any, pieces: list[str], sort_keys: bool, sent: bool) -> None:
    if isinstance(value, str):
        pieces.append('"')
        pieces += (encode_basestring(each)[1:-1] for each in slices(value))
        pieces.append('"')
    elif isinstance(value, Mapping):
        before, comma, colon = "{", *((",", ":") if sent else (", ", ": "))
        for name in sorted(value) if sort_keys else value:
            pieces.append(before)
            _write(name, pieces, sort_keys, sent)
            pieces.append(colon)
            _write(value[name], pieces, sort_keys, sent)
            before = comma
        pieces.append("}" if value else "{}")
    elif isinstance(value, list):
        before, comma = "[", "," if sent else ", "
        for item in value:
            pieces.append(before)
            _write(item, pieces, sort_keys, sent)
            before = comma
        pieces.append("]" if value else "[]")
    else:
        pieces.append(json.dumps(value, allow_nan=not sent))
