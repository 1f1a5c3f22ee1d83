"""The words of a web page, with the targets of its links, for a reader that wants no markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_SILENT = frozenset({"script", "style", "noscript", "template", "svg", "head"})
_BREAKS = """address article aside blockquote br dd div dl dt fieldset figure footer form h1 h2 h3 h4 h5 h6 header hr li
main nav ol option p pre section table td th tr ul"""
_BLOCKS = frozenset(_BREAKS.split())
_SPACE = re.compile(r"[^\S\n]+")
_GAP = re.compile(r" ?\n[ \n]*")


def text_of_html(page: str) -> str:
    """Never raises: what is no HTML is taken as the text it is."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return _GAP.sub("\n", _SPACE.sub(" ", "".join(reader.pieces))).strip()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._silent = 0
        self._links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SILENT:
            self._silent += 1
        elif tag in _BLOCKS:
            self.pieces.append("\n")
        elif tag == "a":
            self._links.append(dict(attrs).get("href") or "")

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT:
            self._silent = max(0, self._silent - 1)
        elif tag in _BLOCKS:
            self.pieces.append("\n")
        elif tag == "a" and self._links:
            target = self._links.pop()
            if target and not target.startswith(("#", "javascript:")):
                self.pieces.append(f" <{target[:300]}> ")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.pieces.append(data)
