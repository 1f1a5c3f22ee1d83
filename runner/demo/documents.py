"""The demo's input: this project's own documents, read from disk and taken apart at their headings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

_HEADING = re.compile(r"^#{1,3} +(.+?) *#*$")
_FENCE = re.compile(r"^ {0,3}(```|~~~)")
_LEAST_CHARS = 120
"""A section shorter than this has nothing to sum up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One text of ours."""

    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """What stands under one heading."""

    document: str
    heading: str
    text: str

    @property
    def payload(self) -> str:
        """As its digest is asked for."""
        return f"{self.document}: {self.heading}\n\n{self.text}"


def documents() -> list[Document]:
    """The Markdown files beside the package in a checkout; of an installed package its long description."""
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").is_file():
        found = [Document(name=path.name, text=_read(path)) for path in sorted(checkout.glob("*.md"))]
        if any(document.text.strip() for document in found):
            return found
    description = metadata.metadata("afk-console").json.get("description", "")
    return [Document(name="README.md", text=description if isinstance(description, str) else "")]


def sections(document: Document) -> list[Section]:
    """Its sections in their order, without those that say next to nothing."""
    found: list[Section] = []
    heading, lines = document.name, list[str]()
    fenced = False
    for line in [*document.text.splitlines(), "# end"]:
        if _FENCE.match(line):
            fenced = not fenced
        match = None if fenced else _HEADING.match(line)
        if match is None:
            lines.append(line)
            continue
        text = "\n".join(lines).strip()
        if len(text) >= _LEAST_CHARS:
            found.append(Section(document=document.name, heading=heading, text=text))
        heading, lines = match[1], []
    return found


def _read(path: Path) -> str:
    return path.read_text("utf-8", "replace")
