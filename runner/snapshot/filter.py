"""What a person asks a list of jobs for, as one value: `state:pending task:digest* err:timeout age>2h cost>0.10 word`.

Terms stand beside each other and all must hold. `-` before one turns it round, `*` stands for any text, and quotes keep
blanks together. `parse` reads a text or refuses it in one sentence; `str` of a filter reads as the same filter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum

from runner.errors import UsageError
from runner.store.jobs import JobStatus
from runner.units import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, exact_usd, parse_duration, parse_usd

LONGEST = 400
"""Characters of a filter: it stands on one line."""


class BadFilter(UsageError):
    """The text is no filter; the message names the word that is off and how it is written. Nothing was searched."""


class Field(StrEnum):
    """What a term looks at."""

    STATE = "state"
    TASK = "task"
    KEY = "key"
    ERR = "err"
    WAITING = "waiting"
    AGE = "age"
    COST = "cost"
    WORD = "word"
    """The key or the error."""


TEXTS = (Field.STATE, Field.TASK, Field.KEY, Field.ERR, Field.WAITING)
"""Written `name:text`."""
NUMBERS = (Field.AGE, Field.COST)
"""Written `name>number` or `name<number`."""
EXAMPLES = {
    Field.STATE: "state:pending",
    Field.TASK: "task:digest*",
    Field.KEY: "key:2030-03",
    Field.ERR: 'err:"timed out"',
    Field.WAITING: "waiting:cap",
    Field.AGE: "age>2h",
    Field.COST: "cost>0.10",
}
WORDS = ("state:", "task:", "key:", "err:", "waiting:", "age>", "age<", "cost>", "cost<")
FORMS = "state: task: key: err: waiting: age> or cost>"

_FIELDS = {field.value: field for field in (*TEXTS, *NUMBERS)}
_NAMED = re.compile(r"([a-z]+)([:<>])", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One condition."""

    field: Field
    values: tuple[str, ...] = ()
    """Any of these. Of a text without `*`: a part of it; of a state or a task the whole."""
    sign: str = ""
    """`<` or `>`, of a number."""
    number: int = 0
    """Milliseconds of an age, micro-dollars of a cost."""
    negated: bool = False

    def __str__(self) -> str:
        dash = "-" if self.negated else ""
        if self.field is Field.AGE:
            return f"{dash}age{self.sign}{_span(self.number)}"
        if self.field is Field.COST:
            return f"{dash}cost{self.sign}{exact_usd(self.number).replace('$', '').replace(',', '')}"
        if self.field is Field.WORD:
            return dash + _quoted(self.values[0], bare=True)
        return f"{dash}{self.field}:{','.join(_quoted(value) for value in self.values)}"


@dataclass(frozen=True, slots=True)
class Filter:
    """All of these hold; without a term every job is meant."""

    terms: tuple[Term, ...] = ()

    def __str__(self) -> str:
        return " ".join(str(term) for term in self.terms)

    def __bool__(self) -> bool:
        return bool(self.terms)

    def and_(self, *terms: Term) -> Filter:
        """The same with more conditions."""
        return Filter((*self.terms, *terms))


EVERYTHING = Filter()


def parse(text: str) -> Filter:
    """The filter a text means. Raises BadFilter."""
    if len(text) > LONGEST:
        raise BadFilter(f"a filter has {LONGEST} characters at most; this one has {len(text):,}")
    return Filter(tuple(_term(word) for word in _words(text)))


@dataclass(frozen=True, slots=True)
class _Word:
    """A word of the text, its quotes taken off."""

    written: str
    """As it stands there."""
    text: str
    quoted: frozenset[int]
    """Places of the characters that stood in quotes."""


def _words(text: str) -> list[_Word]:
    words: list[_Word] = []
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        word, at = _word(text, at)
        words.append(word)
    return words


def _word(text: str, start: int) -> tuple[_Word, int]:
    chars: list[str] = []
    quoted: set[int] = set()
    inside, at = False, start
    while at < len(text) and (inside or not text[at].isspace()):
        char = text[at]
        if char == '"' and inside and text[at + 1 : at + 2] == '"':
            quoted.add(len(chars))
            chars.append('"')
            at += 2
            continue
        if char == '"':
            inside = not inside
            quoted.add(len(chars))  # even where nothing stands between them
        else:
            if inside:
                quoted.add(len(chars))
            chars.append(char)
        at += 1
    written = text[start:at]
    if inside:
        raise BadFilter(f'the quote in {_shown(written)} does not end; write err:"timed out"')
    try:
        written.encode()
    except UnicodeEncodeError:
        raise BadFilter(f"{_shown(written)} has a character that no job can hold; leave it out") from None
    return _Word(written, "".join(chars), frozenset(quoted)), at


def _term(word: _Word) -> Term:
    negated = word.text.startswith("-") and 0 not in word.quoted
    start = int(negated)
    rest = word.text[start:]
    if not rest and start not in word.quoted:
        raise BadFilter("- turns round what follows it at once, such as -state:done")
    named = _NAMED.match(rest)
    if named is None or word.quoted & set(range(start, start + named.end())):
        if not rest:
            raise BadFilter('"" finds nothing in particular; write a word between the quotes')
        return Term(field=Field.WORD, values=(rest,), negated=negated)
    name, sign, value = named[1].lower(), named[2], rest[named.end() :]
    field = _FIELDS.get(name)
    if field is None:
        raise BadFilter(_unknown(name, sign, rest))
    if (field in NUMBERS) != (sign != ":"):
        raise BadFilter(f"{_shown(rest)} is not how it is written; write {EXAMPLES[field]}")
    if not value:
        raise BadFilter(f"{rest} wants something behind it, such as {EXAMPLES[field]}")
    if field in NUMBERS:
        return Term(field=field, sign=sign, number=_number(field, rest, value), negated=negated)
    if field in (Field.STATE, Field.TASK):
        return Term(field=field, values=_values(field, rest, value), negated=negated)
    return Term(field=field, values=(value,), negated=negated)


def _values(field: Field, written: str, value: str) -> tuple[str, ...]:
    values = dict.fromkeys(value.split(","))
    if "" in values:
        raise BadFilter(f"{_shown(written)} has nothing before or behind a comma; write {EXAMPLES[field]}")
    if field is Field.TASK:
        return tuple(values)
    known = [status.value for status in JobStatus]
    for one in values:
        if one.lower() not in known:
            near = get_close_matches(one.lower(), known, n=1)
            nearest = f"the nearest is state:{near[0]}; " if near else ""
            raise BadFilter(f"{_shown(written)} names no state; {nearest}there are {', '.join(known)}")
    return tuple(dict.fromkeys(one.lower() for one in values))


def _number(field: Field, written: str, value: str) -> int:
    try:
        return parse_duration(value) if field is Field.AGE else parse_usd(value.removeprefix("$"))
    except ValueError:
        wants = "a span such as age>90s or age<2h" if field is Field.AGE else "dollars such as cost>0.10"
        raise BadFilter(f"{_shown(written)} is not understood; it wants {wants}") from None


def _unknown(name: str, sign: str, written: str) -> str:
    near = ["state"] if name == "status" else get_close_matches(name, _FIELDS, n=1, cutoff=0.5)
    nearest = f"the nearest is {EXAMPLES[_FIELDS[near[0]]]}" if near else f"there are {FORMS}"
    return f'{_shown(name)}{sign} is not known: {nearest}; a text with a {sign} in it is written "{_shown(written)}"'


def _quoted(text: str, *, bare: bool = False) -> str:
    plain = text and not any(char.isspace() or char == '"' for char in text)
    if plain and not (bare and (text.startswith("-") or _NAMED.match(text))):
        return text
    doubled = text.replace('"', '""')
    return f'"{doubled}"'


def _span(ms: int) -> str:
    parts = []
    for unit, size in (("d", DAY_MS), ("h", HOUR_MS), ("m", MINUTE_MS), ("s", SECOND_MS), ("ms", 1)):
        number, ms = divmod(ms, size)
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts) or "0s"


def _shown(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}…"
