"""The built-in offline model: it answers with the most telling sentences of what it was given.

It invents nothing, knows nothing and costs nothing; the same request always gets the same answer. So a home without a
key or a network can be tried, demonstrated and drilled with answers worth reading.

How it chooses: words found in several sentences carry weight, more so when a heading or the instruction uses them. A
sentence scores by the mean weight of its words and by where it stands. Each one chosen takes most of the weight from
its words, so that the next says something else. Every pass over the text takes time in proportion to its length.
Source: centroid scoring as in MEAD (Radev et al., 2004), redundancy as in SumBasic (Nenkova & Vanderwende, 2005).
"""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MOST_TEXT = 400_000
"""Characters read; the rest of a longer text is not looked at."""
MOST_SENTENCES = 2_000
SHORTLIST = 150
"""Best sentences among which redundancy is weighed."""
MOST_LENGTH = 400
"""Characters of a sentence; a longer one is cut with an ellipsis."""
MOST_LINES = 60
"""However many were asked for."""
MOST_QUESTION = 600
"""Characters of what can be an instruction rather than material."""
USUAL_SENTENCES = 5
USUAL_MAX_TOKENS = 1_024
NOTHING = "There was no text to read, so there is nothing to sum up."

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
_TWENTY = """one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
eighteen nineteen twenty"""
_NUMBERS = {word: number for number, word in enumerate(_TWENTY.split(), start=1)} | {"single": 1}
_OPENERS = """analyse analyze answer are based below can check compare condense create describe digest do does draft
explain extract find from give here how in is list make name outline pick please produce read report review say shorten
show sum summarise summarize summary tell the translate using what when where which who why write you"""
_ASKING = frozenset(_OPENERS.split()) - {"the", "here"}
_ASKED = re.compile(
    rf"\b(\d{{1,3}}|{'|'.join(_NUMBERS)})[\s-]+(?:\w{{1,20}}[\s-]+)?(lines?|sentences?|bullets?|points?|items?)\b",
    re.IGNORECASE,
)

_WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff]+"  # Chinese and Japanese write no blanks between words
    r"|[^\W\d_\u3040-\u30ff\u3400-\u9fff](?:[^\W\u3040-\u30ff\u3400-\u9fff]|['’+#.-]){0,40}"
)
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’)\]]{0,2}\s+(?=[^\sa-z])|(?<=[。！？])[」』”]?\s*")
_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|est|etc|cf|vs|no|vol|fig|mr|mrs|ms|dr|prof|st|z\.b|bzw|ca)|(?<!\w)[a-z])\.$", re.IGNORECASE
)
_ITEM = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)])\s+(?:\[[ xX]\]\s+)?")
_HEADING = re.compile(r"\s{0,3}#{1,6}\s+")
_RULE = re.compile(r"\s*(?:[-=*_]\s?){3,}\s*$")
_FENCE = re.compile(r"\s*(?:```|~~~)")
_REFERENCE = re.compile(r"\s{0,3}\[[^\]]{1,200}\]:\s*\S")
_IMAGE = re.compile(r"!\[[^\[\]]{0,500}\](?:\([^()]{0,1000}\)|\[[^\[\]]{0,200}\])")
_LINK = re.compile(r"\[([^\[\]]{0,500})\](?:\([^()]{0,1000}\)|\[[^\[\]]{0,200}\])")
_TAG = re.compile(r"</?[A-Za-z][^<>]{0,500}>")
_EMPHASIS = re.compile(r"\*\*|__|`+|(?<![\w*])[*_](?=\S)|(?<=\S)[*_](?![\w*])")


@dataclass(frozen=True, slots=True)
class _Ask:
    """A request, taken apart."""

    instructions: list[str]
    """What is wanted: the system's words, then the person's, in order."""
    material: list[str]
    """What it is wanted of."""


@dataclass(frozen=True, slots=True)
class _Sentence:
    text: str
    words: frozenset[str]
    rank: int
    """Place within its section: 0 opens it."""
    section: int


def answer(body: Mapping[str, Any]) -> dict[str, Any]:
    """A whole `message`, as the Messages API would answer; tools are never called.

    Takes any request the gate lets through; what has no text in it gets one plain sentence.
    """
    asked, budget = _ask(body), body.get("max_tokens")
    if type(budget) is not int or budget < 0:
        budget = USUAL_MAX_TOKENS
    text, cut = _fit(_extract(asked), budget)
    model = body.get("model")
    seen = "\n".join([*asked.instructions, *asked.material])
    digest = hashlib.sha256(json.dumps([str(model), seen, budget]).encode()).hexdigest()
    return {
        "id": f"msg_offline_{digest[:24]}",
        "type": "message",
        "role": "assistant",
        "model": model if isinstance(model, str) else "offline/extract",
        "content": [{"type": "text", "text": text}] if text else [],
        "stop_reason": "max_tokens" if cut else "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": max(1, tokens(seen)),
            "output_tokens": tokens(text),
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
            "service_tier": "standard",
        },
    }


def stream(message: Mapping[str, Any]) -> Iterator[bytes]:
    """The same message as the events the Messages API streams, each whole."""
    usage = message["usage"]
    opening = {**message, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    yield _event("message_start", message=opening)
    for index, block in enumerate(message["content"]):
        yield _event("content_block_start", index=index, content_block={"type": "text", "text": ""})
        if index == 0:
            yield _event("ping")
        for piece in re.findall(r"\s*(?:\S{1,40}\s*){1,6}", block["text"]):
            yield _event("content_block_delta", index=index, delta={"type": "text_delta", "text": piece})
        yield _event("content_block_stop", index=index)
    ending = {"stop_reason": message["stop_reason"], "stop_sequence": message["stop_sequence"]}
    totals = {key: value for key, value in usage.items() if key.endswith("_tokens")}
    yield _event("message_delta", delta=ending, usage=totals)
    yield _event("message_stop")


def tokens(text: str) -> int:
    """How many tokens this model counts: one for every four bytes begun."""
    return -(-len(text.encode("utf-8", "replace")) // 4)


def _event(name: str, **fields: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **fields})}\n\n".encode()


def _ask(body: Mapping[str, Any]) -> _Ask:
    """The person's first turn holds the question and its material; later ones, results of tools and remarks."""
    instructions, _ = _texts(body.get("system"))
    material: list[str] = []
    messages = body.get("messages")
    turns = [turn for turn in messages if isinstance(turn, dict)] if isinstance(messages, list) else []
    for place, turn in enumerate(turn for turn in turns if turn.get("role") != "assistant"):
        texts, results = _texts(turn.get("content"))
        if place == 0 and texts:
            question, rest = _part(texts[0], alone=len(texts) == 1)
            instructions.extend(question)
            material.extend([*rest, *texts[1:]])
        else:
            instructions.extend(texts)
        material.extend(results)
    return _Ask(instructions, material)


def _part(text: str, *, alone: bool) -> tuple[list[str], list[str]]:
    """A first turn's question and its material: the question is the first paragraph, or line, that reads like one."""
    whole = text[:MOST_TEXT].strip()
    for mark in ("\n\n", "\n"):
        head, _, rest = whole.partition(mark)
        if rest.strip() and _is_question(head):
            return [head], [rest]
    return ([whole], []) if _is_question(whole) or (not alone and len(whole) <= MOST_QUESTION) else ([], [whole])


def _is_question(text: str) -> bool:
    if len(text) > MOST_QUESTION or _HEADING.match(text):
        return False
    opening = _WORD.search(text)
    return (
        text.rstrip().endswith(("?", ":"))
        or _asked(text) is not None
        or (opening is not None and opening[0].lower() in _ASKING)
    )


def _texts(content: object) -> tuple[list[str], list[str]]:
    """A turn's own texts, and those its tool results hold."""
    if isinstance(content, str):
        return [content], []
    own: list[str] = []
    results: list[str] = []
    for block in content if isinstance(content, list) else []:
        if not isinstance(block, dict):
            continue
        if isinstance(block.get("text"), str):
            own.append(block["text"])
        elif block.get("type") == "tool_result":
            inner = block.get("content")
            pieces = inner if isinstance(inner, list) else [{"text": inner}]
            results.extend(
                piece["text"] for piece in pieces if isinstance(piece, dict) and isinstance(piece.get("text"), str)
            )
    return own, results


def _extract(ask: _Ask) -> list[tuple[int, str]]:
    """The chosen sentences as (order of choice, text), in the order they stand in the text."""
    wanted = (number for each in reversed(ask.instructions) if (number := _asked(each[:MOST_QUESTION])))
    count = min(next(wanted, USUAL_SENTENCES), MOST_LINES)
    # A question without material is all there is to read.
    text = "\n\n".join(ask.material if any(map(_WORD.search, ask.material)) else ask.instructions)[:MOST_TEXT]
    sentences, headings = _sentences(text)
    if not sentences:
        lines = [_inline(line[: 8 * MOST_LENGTH]).strip("#| ") for line in text.splitlines()[:MOST_SENTENCES]]
        sentences = [_sentence(line, rank, 0) for rank, line in enumerate(lines) if _WORD.search(line)]
    favoured = headings.union(*(_words(each) for each in ask.instructions))
    chosen = _choose(sentences, count, favoured=favoured)
    order = {index: place for place, index in enumerate(chosen)}
    return [(order[index], sentences[index].text) for index in sorted(chosen)]


def _asked(instruction: str) -> int | None:
    """How many lines or sentences the instruction wants, if it says so: "in ten lines", "3 bullet points"."""
    match = _ASKED.search(instruction)
    if match is None:
        return None
    word = match[1].lower()
    return max(1, _NUMBERS.get(word) or int(word))


def _sentences(text: str) -> tuple[list[_Sentence], set[str]]:
    """The sentences of a Markdown text without its furniture, and the words of its headings."""
    found: list[_Sentence] = []
    headings: set[str] = set()
    rank = section = 0
    for kind, unit in _units(text):
        if kind == "heading":
            headings |= _words(unit)
            section, rank = section + 1, 0
            continue
        for piece in _split(unit):
            if len(found) == MOST_SENTENCES:
                return found, headings
            found.append(_sentence(piece, rank, section))
            rank += 1
    return found, headings


def _sentence(text: str, rank: int, section: int) -> _Sentence:
    if len(text) > MOST_LENGTH:
        head, _, _ = text[:MOST_LENGTH].rpartition(" ")
        text = (head or text[:MOST_LENGTH]).rstrip(" ,;:") + "…"
    return _Sentence(text, frozenset(_words(text)), rank, section)


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
        rule, heading, item = _RULE.match(line), _HEADING.match(line), _ITEM.match(line)
        if line.strip() and not (rule or heading or item):
            gathered.append(line)
            continue
        if block := _inline(_join(gathered)):
            underlined = rule is not None and len(gathered) == 1
            yield ("heading" if underlined else "text"), block
        gathered = [line[item.end() :]] if item and not rule else []
        if heading:
            yield "heading", _inline(line[heading.end() :]).rstrip(" #")


def _join(lines: Sequence[str]) -> str:
    """Wrapped lines as one; between two of Chinese or Japanese goes no blank."""
    whole = ""
    for line in lines:
        piece = line.strip()
        gap = "" if not whole or (_CJK.match(whole[-1]) and _CJK.match(piece)) else " "
        whole = f"{whole}{gap}{piece}" if len(whole) < 20 * MOST_LENGTH else whole
    return whole


def _inline(text: str) -> str:
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
    return [piece for piece in pieces if _WORD.search(piece)]


def _words(text: str) -> set[str]:
    """What a text is about: its words in one spelling, without the common ones; of Chinese signs, the pairs."""
    found: set[str] = set()
    for match in _WORD.finditer(text[: 4 * MOST_LENGTH]):
        word = match[0].rstrip(".'’-").casefold()
        if _CJK.match(word):
            found.update(word[at : at + 2] for at in range(max(1, len(word) - 1)))
        elif word not in _STOP_WORDS:
            found.add(word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word)
    return found


def _choose(sentences: Sequence[_Sentence], count: int, *, favoured: set[str]) -> list[int]:
    """Indices of the most telling sentences, the best first."""
    spread = Counter(word for sentence in sentences for word in sentence.words)
    common = max(3, len(sentences) // 2)
    weights = {
        word: (min(times, common) / (2 if times > common else 1)) ** 0.5 * (1.5 if word in favoured else 1.0)
        for word, times in spread.items()
    }
    places = [_place(sentence) for sentence in sentences]

    def score(index: int) -> float:
        words = sentences[index].words
        # Beside the mean, eight words of nothing: else a heading-like scrap of one weighty word would win.
        return places[index] * sum(weights[word] for word in words) / (len(words) + 8) if words else 0.0

    first = {index: score(index) for index in range(len(sentences))}
    left = sorted(first, key=lambda index: (-first[index], index))[: max(SHORTLIST, count)]
    chosen: list[int] = []
    told: set[str] = set()
    while left and len(chosen) < count:
        best = max(left, key=lambda index: (score(index), -index))
        left.remove(best)
        if sentences[best].text in told:
            continue
        told.add(sentences[best].text)
        chosen.append(best)
        for word in sentences[best].words:
            weights[word] *= 0.3
    return chosen


def _place(sentence: _Sentence) -> float:
    """What a sentence gains by opening a section and loses by its shape."""
    place = 1.0 + 0.6 / (1 + sentence.rank) + (0.6 if sentence.section <= 1 and sentence.rank == 0 else 0.0)
    text = sentence.text
    if text.endswith(":"):
        place *= 0.3  # announces what is not here
    if text.endswith("?"):
        place *= 0.7
    if len(sentence.words) < 4:
        place *= 0.5
    if text.endswith("…") or len(text) > 300:
        place *= 0.7
    return place


def _fit(ranked: Sequence[tuple[int, str]], budget: int) -> tuple[str, bool]:
    """As many of the sentences, best first, as the tokens allow, one a line; whether one had to be cut."""
    if not ranked:
        ranked = [(0, NOTHING)]
    kept: list[int] = []
    size = 0
    for index in sorted(range(len(ranked)), key=lambda index: ranked[index][0]):
        more = len(ranked[index][1].encode("utf-8", "replace")) + 1
        if size + more <= 4 * budget + 1:
            kept.append(index)
            size += more
    if kept:
        return "\n".join(ranked[index][1] for index in sorted(kept)), False
    best = min(ranked)[1].encode("utf-8", "replace")
    return best[: 4 * budget].decode("utf-8", "ignore"), True
