"""Reads the body of a request: one plain JSON object that has one reading alone, or a refusal."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from runner.gate import plain
from runner.gate.http import BadRequest
from runner.nesting import TOO_DEEP, is_too_deep

MOST_PARTS = 1_000_000
"""Braces, brackets, commas and colons of a body, those inside its texts too. Each costs a microsecond or two, here and
where it is bounded; no model reads a text that has as many."""
MOST_ESCAPES = 2_000_000
"""Backslashes of a body: a character that is escaped takes ten times as long to read as one that is not."""
MOST_SIGNS = 8 * 1024 * 1024
"""Bytes of a body that base64 has no use for. What is left of the vendor's limit is for pictures and documents."""
MOST_MEMBERS = 100_000
"""Of one object."""
MOST_DIGITS = 100
"""Of one number: the time to read it grows with its square. As many as a piece of the body has are not even looked for
their end, which the parser does in one go."""

_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_HALF_PAIR = re.compile(rb"\\u[dD][89a-fA-F]")


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a body. Raises BadRequest for anything else, a repeated key included."""
    _check_length(body)
    try:
        value = plain.loads(
            body.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_short,
        )
        if is_too_deep(value, openings=_count(body, b"{", b"[")):
            raise ValueError(f"it is {TOO_DEEP}")
    except (ValueError, RecursionError) as error:
        raise BadRequest(400, f"the body is not one plain JSON object: {_why(error)}") from None
    if not isinstance(value, dict):
        raise BadRequest(400, "the body is not a JSON object")
    if _HALF_PAIR.search(body):
        try:
            plain.dumps(value).encode("utf-8")
        except UnicodeEncodeError:
            raise BadRequest(400, "the body holds half a surrogate pair, which is not text") from None
    return value


def parts_of(body: bytes) -> int:
    """Its braces, brackets, commas and colons: no object has more members than that, no list more items."""
    return _count(body, b"{", b"[", b",", b":")


def _count(body: bytes, *signs: bytes) -> int:
    return sum(each.count(sign) for each in plain.slices(body) for sign in signs)


def _check_length(body: bytes) -> None:
    """Refuses unread what would take long to read and is longer than any model reads. Raises BadRequest."""
    if parts_of(body) > MOST_PARTS:
        raise BadRequest(413, f"the body has more than {MOST_PARTS:,} braces, brackets, commas and colons")
    if _count(body, b"\\") > MOST_ESCAPES:
        raise BadRequest(413, f"the body has more than {MOST_ESCAPES:,} escapes")
    if len(body) > MOST_SIGNS and _signs(body) > MOST_SIGNS:
        raise BadRequest(413, f"the body has more than {MOST_SIGNS:,} bytes that are neither letters nor digits")
    if any(len(each) == plain.PIECE and each.isdigit() for each in plain.slices(body)):
        raise BadRequest(413, f"the body has more than {plain.PIECE:,} digits in a row")


def _signs(body: bytes) -> int:
    return sum(len(each.translate(None, _BASE64)) for each in plain.slices(body))


def _why(error: Exception) -> str:
    """What is wrong with a body, without the words of a parser."""
    if isinstance(error, UnicodeDecodeError):
        return f"its byte {error.start} is not UTF-8"
    if isinstance(error, json.JSONDecodeError):
        return f"it goes wrong at line {error.lineno}, column {error.colno}"
    return f"it is {TOO_DEEP}" if isinstance(error, RecursionError) else str(error)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MOST_MEMBERS:
        raise ValueError(f"an object in it has more than {MOST_MEMBERS:,} members")
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in it")
    return found


def _no_constant(word: str) -> object:
    raise ValueError(f"{word} is not JSON")


def _short(word: str) -> int:
    _check_digits(word)
    return int(word)


def _finite(word: str) -> float:
    _check_digits(word)
    value = float(word)
    if not math.isfinite(value):
        raise ValueError(f"{word[:40]} is larger than any number here")
    return value


def _check_digits(word: str) -> None:
    if len(word) > MOST_DIGITS:
        raise ValueError(f"{word[:40]} and so on has more than {MOST_DIGITS} digits")
