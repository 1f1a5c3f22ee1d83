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
        encoded = [form.encode(errors="surrogateescape") for form in ordered]
        self._bytes = re.compile(b"|".join(map(re.escape, encoded))) if ordered else None
        self._begun = {form[:length] for form in encoded for length in range(1, len(form))}
        self._longest = max(map(len, self._begun), default=0)

    def __call__(self, text: str) -> str:
        return self._text.sub(MARK, text) if self._text else text

    def bytes(self, data: builtins.bytes) -> builtins.bytes:
        """The same for raw output. A secret cut in two between two calls is not seen: see `begun`."""
        return self._bytes.sub(MARK.encode(), data) if self._bytes else data

    def begun(self, data: builtins.bytes) -> int:
        """How many bytes at the end of raw output may be the beginning of a secret: wait for what follows them."""
        for length in range(min(self._longest, len(data)), 0, -1):
            if data[-length:] in self._begun:
                return length
        return 0


def _forms(secret: str) -> Iterator[str]:
    raw = secret.encode(errors="surrogateescape")  # the environment may hold bytes that are not UTF-8
    yield secret
    for escaped in (quote(raw), quote(raw, safe=""), quote_plus(raw)):
        yield escaped
        yield re.sub("%..", lambda code: code[0].lower(), escaped)
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
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
