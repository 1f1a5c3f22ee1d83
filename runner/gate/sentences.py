"""Cuts a text as people write them, Markdown mostly, into its sentences, without its furniture.

Every pass takes time in proportion to the text's length: what is looked at is bounded, and no pattern looks back.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MOST_SENTENCES = 2_000
MOST_LENGTH = 400
"""Characters of a sentence; a longer one is cut with an ellipsis."""

_COMMON = """
a about above after again all also am an and any are as at be because been before being below between both but by can
could did do does doing don down during each etc few for from further had has have having he her here hers him his how
i if in into is it its just let like may me might more most must my no nor not now of off on once one only or other
our out over own per same she should so some such than that the their them then there these they this those through to
too two under until up upon us use used using very via was we were what when where which while who whom why will with
within without would you your aber als auch auf aus bei bis das dass dem den der des die doch durch ein eine einem
einen einer es für hat ich im ist mit nach nicht noch nur oder sich sie sind über um und uns unter vom von vor war
wenn werden wie wir wird zu zum zur au aux avec ce ces dans de du elle en est et il la le les mais ne nous ou par pas
pour que qui se son sont sur un une vous con del el los las para por y
"""
_STOP_WORDS = frozenset(_COMMON.split())

WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff]+"  # Chinese and Japanese write no blanks between words
    r"|[^\W\d_\u3040-\u30ff\u3400-\u9fff](?:[^\W\u3040-\u30ff\u3400-\u9fff]|['’+#.-]){0,40}"
)
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’)\]]{0,2}\s+(?=[^\sa-z])|(?<=[。！？])[」』”]?\s*")
_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|est|etc|cf|vs|no|vol|fig|mr|mrs|ms|dr|prof|st|z\.b|bzw|ca)|(?<!\w)[a-z])\.$", re.IGNORECASE
)
_ITEM = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)])\s+(?:\[[ xX]\]\s+)?")
HEADING = re.compile(r"\s{0,3}#{1,6}\s+")
_RULE = re.compile(r"\s*(?:[-=*_]\s?){3,}\s*$")
_FENCE = re.compile(r"\s*(?:```|~~~)")
_REFERENCE = re.compile(r"\s{0,3}\[[^\]]{1,200}\]:\s*\S")
_IMAGE = re.compile(r"!\[[^\[\]]{0,500}\](?:\([^()]{0,1000}\)|\[[^\[\]]{0,200}\])")
_LINK = re.compile(r"\[([^\[\]]{0,500})\](?:\([^()]{0,1000}\)|\[[^\[\]]{0,200}\])")
_TAG = re.compile(r"</?[A-Za-z][^<>]{0,500}>")
_EMPHASIS = re.compile(r"\*\*|__|`+|(?<![\w*])[*_](?=\S)|(?<=\S)[*_](?![\w*])")


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence and what it is about."""

    text: str
    words: frozenset[str]
    rank: int
    """Place within its section: 0 opens it."""
    section: int


def sentences_of(text: str) -> tuple[list[Sentence], set[str]]:
    """The sentences of a Markdown text without its furniture, and the words of its headings."""
    found: list[Sentence] = []
    headings: set[str] = set()
    rank = section = 0
    for kind, unit in _units(text):
        if kind == "heading":
            headings |= words_of(unit)
            section, rank = section + 1, 0
            continue
        for piece in _split(unit):
            if len(found) == MOST_SENTENCES:
                return found, headings
            found.append(_sentence(piece, rank, section))
            rank += 1
    return found, headings


def lines_of(text: str) -> list[Sentence]:
    """Its lines instead, for a text that is all furniture: a table, a listing."""
    lines = [_plain(line[: 8 * MOST_LENGTH]).strip("#| ") for line in text.splitlines()[:MOST_SENTENCES]]
    return [_sentence(line, rank, 0) for rank, line in enumerate(lines) if WORD.search(line)]


def _sentence(text: str, rank: int, section: int) -> Sentence:
    if len(text) > MOST_LENGTH:
        head, _, _ = text[:MOST_LENGTH].rpartition(" ")
        text = (head or text[:MOST_LENGTH]).rstrip(" ,;:") + "…"
    return Sentence(text, frozenset(words_of(text)), rank, section)


def _units(text: str) -> Iterator[tuple[str, str]]:
    """Paragraphs, list items and headings, as ("text" or "heading", content); code, tables and marks are dropped."""
    gathered: list[str] = []
    fenced = False
    for raw in [*_bare(text).splitlines(), ""]:
        line = raw[: 8 * MOST_LENGTH]
        if _FENCE.match(line):
            fenced = not fenced
            line = ""
        elif fenced or line.lstrip().startswith(("|", "$ ")) or line.count(" | ") > 1 or _REFERENCE.match(line):
            line = ""
        rule, heading, item = _RULE.match(line), HEADING.match(line), _ITEM.match(line)
        if line.strip() and not (rule or heading or item):
            gathered.append(line)
            continue
        if block := _plain(_join(gathered)):
            underlined = rule is not None and len(gathered) == 1
            yield ("heading" if underlined else "text"), block
        gathered = [line[item.end() :]] if item and not rule else []
        if heading:
            yield "heading", _plain(line[heading.end() :]).rstrip(" #")


def _join(lines: Sequence[str]) -> str:
    """Wrapped lines as one; between two of Chinese or Japanese goes no blank."""
    whole = ""
    for line in lines:
        piece = line.strip()
        gap = "" if not whole or (_CJK.match(whole[-1]) and _CJK.match(piece)) else " "
        whole = f"{whole}{gap}{piece}" if len(whole) < 20 * MOST_LENGTH else whole
    return whole


def _plain(text: str) -> str:
    """A line without links, pictures, tags and emphasis."""
    text = _LINK.sub(r"\1", _IMAGE.sub("", text))
    return " ".join(html.unescape(_EMPHASIS.sub("", _TAG.sub("", text))).split())


def _bare(text: str) -> str:
    """Without front matter and HTML comments; an open one hides nothing.

    Found by hand, for a pattern would look for the end again at every start.
    """
    kept: list[str] = []
    start = text.find("\n---", 3) + 4 if text.startswith("---\n") else 0
    while (opened := text.find("<!--", start)) >= 0 and (closed := text.find("-->", opened)) >= 0:
        kept.append(text[start:opened])
        start = closed + 3
    return "".join([*kept, text[start:]])


def _split(block: str) -> list[str]:
    """A paragraph's sentences; an abbreviation's dot ends none."""
    pieces: list[str] = []
    start = 0
    for match in _SENTENCE_END.finditer(block):
        end = match.start() + len(match[0].rstrip())
        if end > start and not _ABBREVIATION.search(block[max(start, end - 12) : end]):
            pieces.append(block[start:end].strip())
            start = match.end()
    pieces.append(block[start:].strip())
    return [piece for piece in pieces if WORD.search(piece)]


def words_of(text: str) -> set[str]:
    """What a text is about: its words in one spelling, without the common ones; of Chinese signs, the pairs."""
    found: set[str] = set()
    for match in WORD.finditer(text[: 4 * MOST_LENGTH]):
        word = match[0].rstrip(".'’-").casefold()
        if _CJK.match(word):
            found.update(word[at : at + 2] for at in range(max(1, len(word) - 1)))
        elif word not in _STOP_WORDS:
            found.add(word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word)
    return found
