"""Taking a TOML table apart, key by key, with everything that is wrong noted on the way.

A reader asks a `Table` for the keys it knows; whatever it never asked for is unknown. What is bad is noted and read as
absent, so that one pass finds every fault: a value made of such readings must not be used while there are problems.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from typing import TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from runner.settings.lines import KeyPath
from runner.settings.notes import Notes
from runner.units import MicroUsd, duration, parse_duration, parse_usd

_Read = TypeVar("_Read")

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
"""What a task or an upstream may be called: safe as a file name, as a key and on every screen."""

MAX_COUNT = 1_000_000_000


class Table:
    """One table. Every reader returns None for a key that is absent or bad; a bad one was noted."""

    def __init__(self, notes: Notes, path: KeyPath, value: object) -> None:
        self.notes, self.path = notes, path
        self._asked: set[str] = set()
        if value is not None and not isinstance(value, dict):
            notes.no_table(path, f"{_bracketed(path)} must be a table, not {_kind(value)}")
        self._values: dict[str, object] = value if isinstance(value, dict) else {}

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def refuse(self, key: str, text: str) -> None:
        """Note `text`, which goes on after the key's name."""
        self.notes.add((*self.path, key), f"{self.named(key)} {text}")

    def lacks(self, key: str, text: str) -> None:
        """Note that the key has to be there; `text` goes on after "is missing"."""
        self.notes.lacks((*self.path, key), f"{self.named(key)} is missing; {text}", beside=self._values)

    def named(self, key: str) -> str:
        """The key as sentences call it: `[runner] workers`."""
        return f"{_bracketed(self.path)} {_dotted((key,))}" if self.path else _dotted((key,))

    def take(self, key: str) -> object:
        """The raw value. TOML has no null, so None means absent."""
        self._asked.add(key)
        return self._values.get(key)

    def raw(self, key: str) -> object:
        """A value that another key's reading looks at; it is not asked for by that."""
        return self._values.get(key)

    def table(self, key: str) -> Table:
        """A table below this one; empty when absent."""
        return Table(self.notes, (*self.path, key), self.take(key))

    def text(self, key: str, *, such_as: str = "") -> str | None:
        """A string that says something."""
        value = self.take(key)
        example = f' such as "{such_as}"' if such_as else ""
        if value is None:
            return None
        if not isinstance(value, str):
            self.refuse(key, f"must be a string{example}, not {_kind(value)}")
        elif not value.strip():
            self.refuse(key, f"must not be empty{f'; write one{example}' if example else ''}")
        elif "\0" in value:
            self.refuse(key, "must not contain a NUL character")
        else:
            return value
        return None

    def strings(self, key: str) -> dict[int, str] | None:
        """The strings of a list by their place in it, without the bad ones; empty for an empty list."""
        value = self.take(key)
        if value is None:
            return None
        if not isinstance(value, list):
            self.refuse(key, f"must be a list of strings, not {_kind(value)}")
            return None
        good = {index: item for index, item in enumerate(value) if isinstance(item, str) and "\0" not in item}
        for index in sorted(set(range(len(value))) - good.keys()):
            text = f"{self.named(key)} must hold only strings, without NUL characters"
            self.notes.add((*self.path, key, index), text)
        return good

    def flag(self, key: str) -> bool | None:
        value = self.take(key)
        if value is None or isinstance(value, bool):
            return value
        self.refuse(key, f"must be true or false, not {_kind(value)}")
        return None

    def count(self, key: str, low: int, high: int = MAX_COUNT) -> int | None:
        value = self.take(key)
        if value is None:
            return None
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        self.refuse(key, f"must be a whole number from {low} to {high}, not {_kind(value)}")
        return None

    def counts(self, key: str, low: int, high: int) -> tuple[int, ...] | None:
        """The whole numbers of a list, each once and in order; empty for an empty list."""
        value = self.take(key)
        if value is None:
            return None
        good = isinstance(value, list) and all(type(item) is int and low <= item <= high for item in value)
        if not good:
            self.refuse(key, f"must be a list of whole numbers from {low} to {high}, such as [50, 80, 100]")
            return None
        return tuple(sorted(set(value))) if isinstance(value, list) else None

    def span(self, key: str, low_ms: int, high_ms: int) -> int | None:
        """Milliseconds of a duration."""
        span_ms = self._parsed(key, parse_duration, such_as="5m")
        if span_ms is not None and not low_ms <= span_ms <= high_ms:
            self.refuse(key, f"must be from {duration(low_ms)} to {duration(high_ms)}, not {duration(span_ms)}")
            return None
        return span_ms

    def money(self, key: str) -> MicroUsd | None:
        value = self.take(key)
        if value is not None and not isinstance(value, str):
            self.refuse(key, f'must be a string of dollars such as "1.00", not {_kind(value)}')
            return None
        return self._parsed(key, parse_usd, such_as="1.00")

    def choice(self, key: str, words: Sequence[str]) -> str | None:
        value = self.text(key)
        if value is None or value in words:
            return value
        allowed = " or ".join(f'"{word}"' for word in words)
        self.refuse(key, f"must be {allowed}, not {quoted(value)}{nearest(value, words)}")
        return None

    def zone(self, key: str) -> ZoneInfo | None:
        value = self.text(key, such_as="Europe/Berlin")
        if value is None:
            return None
        try:
            return ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            near = nearest(value, available_timezones())
            self.refuse(key, f'must be an IANA time zone such as "Europe/Berlin", not {quoted(value)}{near}')
            return None

    def close(self, *, unserved: Iterable[str] = ()) -> None:
        """Note every key nobody asked for. `unserved` keys have a meaning, but not in this version."""
        for key, value in self._values.items():
            if key in self._asked:
                continue
            if key in unserved:
                self.refuse(key, "is not served by this version")
                continue
            is_table = not self.path and isinstance(value, dict)
            what = f"{_bracketed((key,))} is not a known table" if is_table else f"{self.named(key)} is not a known key"
            self.notes.stray((*self.path, key), what, meant=_closest(key, self._asked))

    def _parsed(self, key: str, parse: Callable[[str], _Read], *, such_as: str) -> _Read | None:
        value = self.text(key, such_as=such_as)
        if value is None:
            return None
        try:
            return parse(value)
        except ValueError as error:
            self.refuse(key, f"is refused: {error}")
            return None


def nearest(word: str, valid: Iterable[str]) -> str:
    """The end of a sentence naming what was probably meant, `; did you mean "workers"?`; "" when nothing is close."""
    close = _closest(word, valid)
    return f'; did you mean "{close}"?' if close else ""


def _closest(word: str, valid: Iterable[str]) -> str | None:
    folded = {name.casefold(): name for name in sorted(valid)}
    close = difflib.get_close_matches(word[:100].casefold(), folded, n=1)
    return folded[close[0]] if close else None


def quoted(text: str) -> str:
    """A word from outside inside a sentence: on one line, printable, and short."""
    short = text if len(text) <= 60 else text[:59] + "…"
    return f'"{short}"' if short.isprintable() else json.dumps(short)


def _dotted(path: KeyPath) -> str:
    return ".".join(str(key) if re.fullmatch(r"[A-Za-z0-9_-]+", str(key)) else quoted(str(key)) for key in path)


def _bracketed(path: KeyPath) -> str:
    return f"[{_dotted(path)}]"


def _kind(value: object) -> str:
    """What was found, as a sentence says it. A string is not repeated: it may be a secret in the wrong place."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | Decimal():
            return f"the number {str(value)[:40]}"
        case str():
            return "a string"
        case list():
            return "a list"
        case dict():
            return "a table"
        case _:
            return "a date or time"
