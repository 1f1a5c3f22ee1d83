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
import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runner.gate import offline_agent
from runner.gate.sentences import HEADING, WORD, Sentence, lines_of, sentences_of, words_of

MOST_TEXT = 400_000
"""Characters read; the rest of a longer text is not looked at."""
SHORTLIST = 150
"""Best sentences among which redundancy is weighed."""
MOST_LINES = 60
"""However many were asked for."""
MOST_QUESTION = 600
"""Characters of what can be an instruction rather than material."""
USUAL_SENTENCES = 5
USUAL_MAX_TOKENS = 1_024
NOTHING = "There was no text to read, so there is nothing to sum up."

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


@dataclass(frozen=True, slots=True)
class _Ask:
    """A request, taken apart."""

    instructions: list[str]
    """What is wanted: the system's words, then the person's, in order."""
    material: list[str]
    """What it is wanted of."""


def answer(body: Mapping[str, Any]) -> dict[str, Any]:
    """A whole `message`, as the Messages API would answer; what it does with tools is told in `offline_agent`.

    Takes any request the gate lets through; what has no text in it gets one plain sentence.
    """
    asked, budget = _ask(body), body.get("max_tokens")
    if type(budget) is not int or budget < 0:
        budget = USUAL_MAX_TOKENS
    text, cut = _fit(_extract(asked), budget)
    judged = offline_agent.judgement(body)
    if judged is not None:  # in ASCII, so that a character is a byte
        text, cut = judged[: 4 * budget], tokens(judged) > budget
    call = None if cut or judged is not None else offline_agent.next_call(body, text)
    if call is not None and tokens(json.dumps(call["input"])) > budget:
        call = None  # what it says may not be longer than was asked for, in a call neither
    said = json.dumps(call["input"]) if call else text
    model = body.get("model")
    seen = "\n".join([*asked.instructions, *asked.material])
    digest = hashlib.sha256(json.dumps([str(model), seen, budget]).encode()).hexdigest()
    return {
        "id": f"msg_offline_{digest[:24]}",
        "type": "message",
        "role": "assistant",
        "model": model if isinstance(model, str) else "offline/extract",
        "content": [call] if call else [{"type": "text", "text": text}] if text else [],
        "stop_reason": "tool_use" if call else "max_tokens" if cut else "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": max(1, tokens(seen)),
            "output_tokens": tokens(said),
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
            "service_tier": "standard",
        },
    }


def count(body: Mapping[str, Any]) -> int:
    """The tokens of a request's prompt, as this model counts them."""
    asked = _ask(body)
    return max(1, tokens("\n".join([*asked.instructions, *asked.material])))


def stream(message: Mapping[str, Any]) -> Iterator[bytes]:
    """The same message as the events the Messages API streams, each whole."""
    usage = message["usage"]
    opening = {**message, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    yield _event("message_start", message=opening)
    for index, block in enumerate(message["content"]):
        if block["type"] == "tool_use":
            yield _event("content_block_start", index=index, content_block={**block, "input": {}})
            given = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
            yield _event("content_block_delta", index=index, delta=given)
            yield _event("content_block_stop", index=index)
            continue
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
    given: list[str] = []
    messages = body.get("messages")
    done = offline_agent.acts(body)  # their results are no text to sum up
    turns = [turn for turn in messages if isinstance(turn, dict)] if isinstance(messages, list) else []
    for place, turn in enumerate(turn for turn in turns if turn.get("role") != "assistant"):
        texts, results = _texts(turn.get("content"), done=done)
        if place == 0 and texts:
            question, rest = _part(texts[0], alone=len(texts) == 1)
            instructions.extend(question)
            material.extend([*rest, *texts[1:]])
        else:
            instructions.extend(texts)
        given.extend(results)
    # What tools gave is what there is to read; what stood beside the question only said where it is.
    return _Ask(instructions, given or material)


def _part(text: str, *, alone: bool) -> tuple[list[str], list[str]]:
    """A first turn's question and its material: the question is the first paragraph, or line, that reads like one."""
    whole = text[:MOST_TEXT].strip()
    for mark in ("\n\n", "\n"):
        head, _, rest = whole.partition(mark)
        if rest.strip() and _is_question(head):
            return [head], [rest]
    return ([whole], []) if _is_question(whole) or (not alone and len(whole) <= MOST_QUESTION) else ([], [whole])


def _is_question(text: str) -> bool:
    if len(text) > MOST_QUESTION or HEADING.match(text):
        return False
    opening = WORD.search(text)
    return (
        text.rstrip().endswith(("?", ":"))
        or _asked(text) is not None
        or (opening is not None and opening[0].lower() in _ASKING)
    )


def _texts(content: object, *, done: Collection[object] = ()) -> tuple[list[str], list[str]]:
    """A turn's own texts, and those that tools gave it to read."""
    if isinstance(content, str):
        return [content], []
    own: list[str] = []
    results: list[str] = []
    for block in content if isinstance(content, list) else []:
        if not isinstance(block, dict):
            continue
        if isinstance(block.get("text"), str):
            own.append(block["text"])
        elif block.get("type") == "tool_result" and block.get("tool_use_id") not in done:
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
    text = "\n\n".join(ask.material if any(map(WORD.search, ask.material)) else ask.instructions)[:MOST_TEXT]
    sentences, headings = sentences_of(text)
    sentences = sentences or lines_of(text)
    favoured = headings.union(*(words_of(each) for each in ask.instructions))
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


def _choose(sentences: Sequence[Sentence], count: int, *, favoured: set[str]) -> list[int]:
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


def _place(sentence: Sentence) -> float:
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
