"""How many tokens the prompt of a Messages request can be at most.

Bytes bound the tokens of text: a byte-level vocabulary never makes more tokens than bytes, and JSON only adds bytes.
Where that does not hold (pictures, documents, what the server keeps or fetches) the bound is a constant, or nothing
smaller than the whole context window. Source: spend.md § 3, `N_in`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from runner.gate.fields import NoBound, named
from runner.gate.plain import dumps, slices

MOST_DEPTH = 64
"""Levels of nesting beyond which a request is refused unread."""

BASE_TOKENS = 1_000  # what the vendor puts around a prompt: its own words on tools, on the output's shape
MESSAGE_TOKENS = 64
IMAGE_TOKENS = 6_000
"""Of one picture. Up to 4,005 were measured."""
FOLD_SLICE = 256  # characters; see `text_bound`
MOST_FOLDED = 65_536
"""Characters of a text that are folded to see how long it gets. Some take 20 times as long to fold as others, and
nothing else happens meanwhile."""
MOST_COUNTED = 64
"""Characters that get longer and are counted one by one in a longer text."""

_TEXT_BLOCKS = frozenset(
    {"text", "thinking", "redacted_thinking", "tool_use", "tool_result", "search_result", "tool_removal", "fallback"}
)
_REFUSED_BLOCKS = {
    "tool_addition": 'it can bring in tools of the vendor; declare every tool in "tools"',
    "container_upload": "it works in a container of the vendor; put the text into the prompt",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What one pass over a request can read."""

    tokens: int
    """Never fewer than its text and pictures are."""
    opaque: str | None
    """A part whose length cannot be seen, for people: the prompt may then be as long as the context window."""


def measure(body: Mapping[str, Any]) -> Prompt:
    """The bound of a request whose nesting was checked. Raises NoBound on what no prompt may hold."""
    images, image_bytes, opaque = 0, 0, None
    messages = body.get("messages")
    for block in _blocks(body.get("system"), messages):
        kind = block.get("type")
        source = block.get("source")
        if kind == "image" and isinstance(source, dict) and source.get("type") == "base64":
            images += 1
            data = source.get("data")
            if isinstance(data, str) and data.isascii():
                image_bytes += len(data)
        elif isinstance(kind, str) and kind in _REFUSED_BLOCKS:
            raise NoBound(f"a content block of type {named(kind)} is refused: {_REFUSED_BLOCKS[kind]}")
        elif not _is_text(block):
            opaque = opaque or f"a content block of type {named(kind)}"
    count = len(messages) if isinstance(messages, list) else 0
    tokens = text_bound(dumps(body)) - image_bytes
    return Prompt(tokens=tokens + BASE_TOKENS + MESSAGE_TOKENS * count + IMAGE_TOKENS * images, opaque=opaque)


def text_bound(text: str) -> int:
    """No tokenizer makes more tokens of the text than this.

    One of them folds text to NFKC first, which can make it eleven times longer (U+FDFA). Folding goes slice by slice,
    for on a long run of accents it takes time with its square; what a cut can hide is less than the 4 bytes added.
    """
    plain = len(text.encode("utf-8", "surrogatepass"))
    if text.isascii():
        return plain
    if len(text) > MOST_FOLDED:
        return _unfolded_bound(text, plain)
    slices = (text[start : start + FOLD_SLICE] for start in range(0, len(text), FOLD_SLICE))
    folded = sum(4 + _bytes(unicodedata.normalize("NFKC", each)) for each in slices)
    return max(plain, folded)


def _unfolded_bound(text: str, plain: int) -> int:
    """The same from the characters that occur: joining them after they were taken apart makes no text longer."""
    letters = set[str]()
    for each in slices(text):
        letters.update(each)
    apart = {letter: _bytes(unicodedata.normalize("NFKD", letter)) for letter in letters}
    longer = {letter: count - _bytes(letter) for letter, count in apart.items() if count > _bytes(letter)}
    if len(longer) <= MOST_COUNTED:
        return plain + sum(more * text.count(letter) for letter, more in longer.items())
    return max(-(-plain * apart[letter] // _bytes(letter)) for letter in longer)


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def cache_lifetime(body: object) -> str | None:
    """The dearest lifetime of the cache entries the request may write: None, `5m` or `1h`.

    Looks everywhere, so a tool's own argument of that name counts too, which only raises the hold.
    Raises NoBound on a request that is nested too deep for what comes after.
    """
    longest = None
    level: list[Any] = [body]
    for _ in range(MOST_DEPTH):
        if not level:
            return longest
        below: list[Any] = []
        for node in level:
            if isinstance(node, list):
                below.extend(child for child in node if isinstance(child, dict | list))
            elif isinstance(node, dict):
                below.extend(child for child in node.values() if isinstance(child, dict | list))
                control = node.get("cache_control")
                if control is not None:
                    known = isinstance(control, dict) and control.get("ttl") in (None, "5m")
                    longest = (longest or "5m") if known else "1h"
        level = below
    raise NoBound(f"the request is nested more than {MOST_DEPTH} levels deep")


def _is_text(block: Mapping[str, Any]) -> bool:
    """Whether the block holds nothing but text and blocks that are looked at by themselves."""
    kind = block.get("type")
    if kind != "document":
        return isinstance(kind, str) and kind in _TEXT_BLOCKS
    source, citations = block.get("source"), block.get("citations")
    if not isinstance(source, dict) or source.get("type") not in ("text", "content"):
        return False  # pages and files that the vendor reads
    if not isinstance(source.get("data" if source["type"] == "text" else "content"), str | list):
        return False
    # To be cited a text is cut into sentences, and every cut costs tokens that no byte shows.
    return citations is None or (isinstance(citations, dict) and citations.get("enabled") in (None, False))


def _blocks(system: object, messages: object) -> Iterator[Mapping[str, Any]]:
    """Every content block of the prompt, those inside tool results and documents included."""
    if system is not None:
        yield from _content(system, '"system"')
    if not isinstance(messages, list) or not messages:
        raise NoBound('"messages" is not a list of messages')
    for message in messages:
        if not isinstance(message, dict):
            raise NoBound("a message is not an object")
        yield from _content(message.get("content"), "the content of a message")


def _content(content: object, where: str) -> Iterator[Mapping[str, Any]]:
    """Depth was checked before, so this recursion is short."""
    if isinstance(content, str):
        return
    if not isinstance(content, list):
        raise NoBound(f"{where} is neither a text nor a list of blocks")
    for block in content:
        if not isinstance(block, dict):
            raise NoBound(f"{where} holds something that is not a block")
        yield block
        kind, source = block.get("type"), block.get("source")
        if kind in ("tool_result", "search_result") and block.get("content") is not None:
            yield from _content(block["content"], "the content of a result")
        elif kind == "document" and isinstance(source, dict) and source.get("type") == "content":
            yield from _content(source.get("content"), "the content of a document")
