"""What a site's robots.txt lets us fetch. Source: RFC 9309, with Crawl-delay beside it.

The standard library's reader takes the first rule that fits and knows no wildcards, so it allows what sites forbid.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import quote, unquote_to_bytes

MAX_BYTES = 500_000
"""The RFC asks for at least this much; the rest of a longer file is not read."""
MAX_RULES = 5_000


@dataclass(slots=True)
class _Group:
    rules: list[tuple[str, bool]] = field(default_factory=list)
    """Path pattern and whether it allows."""
    delay_s: float | None = None


class Robots:
    """The rules of one site for one program."""

    def __init__(self, text: str, *, program: str) -> None:
        """`program`: the product token, as in `User-Agent: program/1.0`."""
        groups = _groups(text)
        mine = groups.get(program.lower()) or groups.get("*") or _Group()
        self._rules = mine.rules
        self.delay_s = mine.delay_s
        """Seconds the site asks us to leave between two requests; None: it does not say."""

    def allows(self, path: str) -> bool:
        """Whether a path with its query may be fetched: the longest pattern that fits decides, a tie allows."""
        asked = _normal(path or "/")
        best = (-1, True)
        for pattern, allowed in self._rules:
            if _fits(pattern, asked):
                best = max(best, (len(pattern), allowed))
        return best[1]


def _groups(text: str) -> dict[str, _Group]:
    groups: dict[str, _Group] = {}
    current: list[_Group] = []
    naming = False
    count = 0
    for line in text.removeprefix("\ufeff").splitlines():
        word, colon, value = line.partition("#")[0].partition(":")
        word, value = word.strip().lower(), value.strip()
        if not colon:
            continue
        if word == "user-agent":
            token = re.match(r"[A-Za-z_-]+|\*", value)
            name = token[0].lower() if token else ""
            group = groups.setdefault(name, _Group())
            current = [*current, group] if naming else [group]
            naming = True
            continue
        if word in ("allow", "disallow") and value and count < MAX_RULES:
            count += 1
            for group in current:
                group.rules.append((_normal(value), word == "allow"))
        elif word == "crawl-delay":
            for group in current:
                group.delay_s = _seconds(value)
        if word in ("allow", "disallow", "crawl-delay"):
            naming = False
    return groups


def _seconds(text: str) -> float | None:
    return float(text) if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text) else None


def _normal(path: str) -> str:
    """One spelling of a path: what needs no escape has none, everything else has one in capitals."""
    parts = re.split(r"(%(?:2[Ff]|2[Aa]|24))", path)  # an escaped /, * or $ means itself
    return "".join(
        part.upper() if place % 2 else quote(unquote_to_bytes(part), safe="/*$?&=+;:@!,'()~-._")
        for place, part in enumerate(parts)
    )


def _fits(pattern: str, path: str) -> bool:
    """Match with `*` and an ending `$`, in time that grows with the length alone: a pattern comes from anybody."""
    ends = pattern.endswith("$")
    first, *rest = pattern.removesuffix("$").split("*")
    if not path.startswith(first):
        return False
    at = len(first)
    if not rest:
        return not ends or at == len(path)
    for piece in rest[:-1]:
        found = path.find(piece, at)
        if found < 0:
            return False
        at = found + len(piece)
    last = rest[-1]
    if ends:
        return len(path) - len(last) >= at and path.endswith(last)
    return path.find(last, at) >= 0
