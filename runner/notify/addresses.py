"""What the addresses of alerts are called. An address is a secret; its name is in rows, logs and on screens."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from urllib.parse import unquote

from runner.redact import MARK

_SERVERS = frozenset(
    {
        *("apprise", "apprises", "form", "forms", "gotify", "gotifys", "http", "https", "json", "jsons"),
        *("mailto", "mailtos", "mmost", "mmosts", "xml", "xmls"),
    }
)
"""Schemes whose host is the name of a server. With others it may be the token itself: `tgram://TOKEN/CHAT`."""

_URL = re.compile(
    r"(?P<scheme>[A-Za-z0-9.+-]{1,30})://(?:[^@/?#\s]*@)?(?P<host>[A-Za-z0-9.-]{1,100})(?::\d+)?(?:[/?#][^@\s]*)?"
)
_PARTS = re.compile(r"[^/?#&=:@,]+")
_SHORTEST = 4


def named(urls: Iterable[str]) -> dict[str, str]:
    """Each URL by its name; those that would share one are numbered."""
    seen: Counter[str] = Counter()
    found = {}
    for url in dict.fromkeys(urls):
        name = name_of(url)
        seen[name] += 1
        found[name if seen[name] == 1 else f"{name} ({seen[name]})"] = url
    return found


def name_of(url: str) -> str:
    """Scheme, and host where that can be no secret: `json://hooks.example.org`, `tgram`."""
    found = _URL.fullmatch(url)
    if found and found["scheme"].lower() in _SERVERS:
        return f"{found['scheme'].lower()}://{found['host'].lower()}"
    scheme, colon, _ = url.partition("://")
    return scheme.lower() if colon and re.fullmatch(r"[A-Za-z0-9.+-]{1,30}", scheme) else "an address"


def without_secrets(text: str, url: str) -> str:
    """The text without anything that stands in the URL and not in its name: what a library says of a failure."""
    name = name_of(url)
    rest = url.partition("://")[2]
    parts = {part for piece in _PARTS.findall(rest) for part in (piece, unquote(piece))}
    for part in sorted({url, rest, *parts}, key=len, reverse=True):
        if len(part) >= _SHORTEST and part.lower() not in name:
            text = text.replace(part, MARK)
    return text
