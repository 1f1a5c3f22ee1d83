"""Keeping secrets out of whatever is written down, by their value."""

from __future__ import annotations

import base64
import builtins
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

SHORTEST = 6
"""Secrets of fewer characters are left alone: replacing them would eat ordinary words and hide nothing."""

NESTED = 4
"""JSON in JSON: a vendor's answer in a payload's result in an event in a line of the log."""

LONG = 32
"""From so many characters on the first half of a secret is a secret too; half of a shorter one may be a word."""

MARK = "[redacted]"


class Redactor:
    """Replaces every secret, plain or in the usual disguises, by `[redacted]`.

    Disguises: URL quoting, JSON escapes, and base64, also where the secret is a part of what was encoded.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets if len(secret) >= SHORTEST for form in _forms(secret)}
        # Longest first: an alternation takes the first that fits, and one secret may begin with another.
        ordered = sorted(forms, key=lambda form: (-len(form), form))
        self._text = re.compile("|".join(map(re.escape, ordered))) if ordered else None
        self._halves = _Halves(form for form in ordered if len(form) >= LONG)
        encoded = [form.encode(errors="surrogateescape") for form in ordered]
        self._bytes = re.compile(b"|".join(map(re.escape, encoded))) if ordered else None
        self._begun = {form[:length] for form in encoded for length in range(1, len(form))}
        self.longest = max(map(len, self._begun), default=0)
        """Bytes that a cut through raw output leaves of a secret at the most."""

    def __call__(self, text: str) -> str:
        """The text without secrets, and without what is left of one where the text was cut to a length."""
        return self._halves.cut(self._text.sub(MARK, text)) if self._text else text

    def bytes(self, data: builtins.bytes) -> builtins.bytes:
        """The same for raw output. A secret cut in two between two calls is not seen: see `begun`."""
        return self._bytes.sub(MARK.encode(), data) if self._bytes else data

    def begun(self, data: builtins.bytes) -> int:
        """How many bytes at the end of raw output may be the beginning of a secret: wait for what follows them."""
        for length in range(min(self.longest, len(data)), 0, -1):
            if data[-length:] in self._begun:
                return length
        return 0


class Passing:
    """Takes secrets out of a stream as it passes; only what may be the beginning of one waits for what follows it."""

    def __init__(self, redact: Redactor) -> None:
        self._redact = redact
        self._waiting = b""

    def take(self, piece: bytes) -> bytes:
        """What may go on now."""
        data = self._redact.bytes(self._waiting + piece)
        keep = len(data) - self._redact.begun(data)
        self._waiting = data[keep:]
        return data[:keep]

    def rest(self) -> bytes:
        """What waited, once the stream is over: a few letters as they are, the better part of a secret as the mark."""
        rest, self._waiting = self._waiting, b""
        return rest if len(rest) < SHORTEST else MARK.encode()


class _Halves:
    """Takes out secrets of which the end is missing, as long as at least their first half is there."""

    def __init__(self, forms: Iterable[str]) -> None:
        self._of: dict[str, list[str]] = {}
        for form in forms:
            self._of.setdefault(form[: -(-len(form) // 2)], []).append(form)
        longest_first = sorted(self._of, key=len, reverse=True)
        self._any = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def cut(self, text: str) -> str:
        """The text with the mark in their place; the very same text when there is none."""
        if self._any is None or (found := self._any.search(text)) is None:
            return text
        parts, done = [], 0
        while found is not None:
            parts += [text[done : found.start()], MARK]
            done = max(_common(text, found.start(), form) for form in self._of[found[0]])
            found = self._any.search(text, done)
        return "".join([*parts, text[done:]])


def _common(text: str, start: int, form: str) -> int:
    """Where the text, which goes along with the form from `start` on, departs from it."""
    place = start
    while place < len(text) and place - start < len(form) and text[place] == form[place - start]:
        place += 1
    return place


def _forms(secret: str) -> Iterator[str]:
    raw = secret.encode(errors="surrogateescape")  # the environment may hold bytes that are not UTF-8
    yield secret
    for escaped in (quote(raw), quote(raw, safe=""), quote_plus(raw)):
        yield escaped
        yield re.sub("%..", lambda code: code[0].lower(), escaped)
    for ascii in (True, False):
        escaped = secret
        for _ in range(NESTED):
            escaped = json.dumps(escaped, ensure_ascii=ascii)[1:-1]
            yield escaped
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        whole = encode(raw).decode()
        yield whole
        yield whole.rstrip("=")
        for shift in range(3):
            yield _core(encode(bytes(shift) + raw).decode(), shift, len(raw))


def _core(encoded: str, shift: int, length: int) -> str:
    """The characters of a base64 text that hold bits of the secret alone, whatever stands before and after it.

    One character holds 6 bits, so `shift` bytes before it reach into the first `ceil(8 * shift / 6)` characters.
    """
    return encoded[-(-8 * shift // 6) : 8 * (shift + length) // 6]
