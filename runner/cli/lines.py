"""Reading what somebody pipes in: one payload, or one JSON job a line. Never more than may be used."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO
from zoneinfo import ZoneInfo

from runner.cli.shell import remark
from runner.enqueue import MAX_PAYLOAD_BYTES, JobRequest, parse_payload, read_json
from runner.errors import UsageError
from runner.settings import nearest
from runner.units import MAX_DURATION_MS, SECOND_MS, MicroUsd, UnixMs, parse_duration, parse_time, parse_usd

MAX_LINE_BYTES = MAX_PAYLOAD_BYTES + 10_000
"""A payload and what stands around it."""
_KEYS = (
    *("task", "payload", "key", "again", "priority", "at", "in"),
    *("max_usd", "max_seconds", "max_attempts", "max_output_tokens", "max_tool_calls", "criteria"),
)
_TALK_AFTER = 20_000  # lines; fewer are read before anybody wonders


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """What turns the words of a person into times."""

    now: UnixMs
    zone: ZoneInfo

    def moment(self, at: str | None, wait: str | None) -> UnixMs | None:
        """The earliest start `--at` or `--in` ask for. Raises UsageError."""
        if at is not None and wait is not None:
            raise UsageError("at and in cannot stand together; write one of them")
        try:
            if at is not None:
                start = parse_time(at, self.zone)
                if start > self.now + MAX_DURATION_MS:  # as a wait is refused
                    raise ValueError(f"{at[:40]!r} is more than a hundred years from now")
                return start
            return None if wait is None else UnixMs(self.now + parse_duration(wait))
        except (ValueError, OverflowError) as error:
            raise UsageError(f"{'at' if at is not None else 'in'}: {error}") from None


def money(text: str | None) -> MicroUsd | None:
    """The dollars of `--max-usd`. Raises UsageError."""
    try:
        return None if text is None else parse_usd(text)
    except ValueError as error:
        raise UsageError(f"max_usd: {error}") from None


def seconds(text: str | None) -> int | None:
    """The milliseconds of `--max-seconds`: plain seconds, or a duration such as 5m. Raises UsageError."""
    if text is None:
        return None
    try:
        plain = text.isascii() and text.isdecimal()
        span_ms = parse_duration(f"{text}s" if plain else text)
    except ValueError as error:
        raise UsageError(f"max_seconds: {error}") from None
    if span_ms < SECOND_MS:
        raise UsageError("max_seconds: one second is the least")
    return span_ms


def payload_of(argument: str | None, stdin: BinaryIO) -> object:
    """The JSON value of a PAYLOAD argument; `-` reads it from stdin, an absent one is `{}`. Raises UsageError."""
    if argument is None:
        return {}
    data = stdin.read(MAX_PAYLOAD_BYTES + 1) if argument == "-" else os.fsencode(argument)
    if len(data) > MAX_PAYLOAD_BYTES:
        raise UsageError(
            f"the payload has more than {MAX_PAYLOAD_BYTES:,} bytes; put it in a file and name the file in the payload"
        )
    try:
        return parse_payload(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UsageError(f"the payload is not UTF-8 text at byte {error.start}") from None


def requests(stdin: BinaryIO, *, defaults: JobRequest, when: When) -> Iterator[tuple[int, JobRequest]]:
    """Line number and request of every line that is not blank. Raises UsageError naming the line."""
    progress = _Progress()
    line = 0
    # A line is read to a bound, so that one without an end cannot fill the memory.
    while data := stdin.readline(MAX_LINE_BYTES + 1):
        line += 1
        progress.reached(line)
        try:
            request = _request(data, defaults, when)
        except UsageError as error:
            raise UsageError(f"line {line}: {error}; nothing was added") from None
        if request is not None:
            yield line, request
    progress.end()


def _request(data: bytes, defaults: JobRequest, when: When) -> JobRequest | None:
    if len(data) > MAX_LINE_BYTES:
        raise UsageError(f"it has more than {MAX_LINE_BYTES:,} bytes; put large inputs in a file and name the file")
    try:
        text = data.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise UsageError(f"it is not UTF-8 text at byte {error.start}") from None
    if not text:
        return None
    fields = _object(text)
    unknown = next((name for name in fields if name not in _KEYS), None)
    if unknown is not None:
        raise UsageError(f"{unknown[:40]!r} is not a key of a job{nearest(unknown, _KEYS)}")
    task = _text(fields, "task") or defaults.task
    if not task:
        raise UsageError("it names no task, and none was given before --lines")
    not_before = when.moment(_text(fields, "at"), _text(fields, "in"))
    limit = fields.get("max_seconds")
    span = str(limit) if isinstance(limit, int) and not isinstance(limit, bool) else _text(fields, "max_seconds", "5m")
    usd = _text(fields, "max_usd", "0.10")
    return defaults._replace(
        task=task,
        payload=fields.get("payload", defaults.payload),
        key=_text(fields, "key"),
        again=_flag(fields, "again", defaults.again),
        priority=_whole(fields, "priority", -9, 9, defaults.priority),
        not_before=defaults.not_before if not_before is None else not_before,
        max_usd=defaults.max_usd if usd is None else money(usd),
        max_seconds_ms=defaults.max_seconds_ms if span is None else seconds(span),
        max_attempts=_whole(fields, "max_attempts", 1, 100, defaults.max_attempts),
        max_output_tokens=_whole(fields, "max_output_tokens", 1, 1_000_000_000, defaults.max_output_tokens),
        max_tool_calls=_whole(fields, "max_tool_calls", 0, 1_000_000_000, defaults.max_tool_calls),
        criteria=_sentences(fields, "criteria", defaults.criteria),
    )


def _object(text: str) -> dict[str, object]:
    try:
        value = read_json(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"it is not JSON at column {error.colno}: {error.msg}") from None
    except ValueError as error:
        raise UsageError(f"it {error}") from None
    if not isinstance(value, dict):
        raise UsageError('it is not a JSON object such as {"payload": {"n": 1}}')
    return value


def _text(fields: dict[str, object], name: str, such_as: str = "") -> str | None:
    value = fields.get(name)
    if value is None or isinstance(value, str):
        return value
    hint = f' such as "{such_as}"' if such_as else ""
    raise UsageError(f"{name} must be a string{hint}")


def _flag(fields: dict[str, object], name: str, default: bool) -> bool:
    value = fields.get(name)
    if value is None or isinstance(value, bool):
        return default if value is None else value
    raise UsageError(f"{name} must be true or false")


def _whole(fields: dict[str, object], name: str, low: int, high: int, default: int | None) -> int | None:
    value = fields.get(name)
    if value is None:
        return default
    if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
        return value
    raise UsageError(f"{name} must be a whole number from {low} to {high}")


def _sentences(fields: dict[str, object], name: str, default: tuple[str, ...]) -> tuple[str, ...]:
    value = fields.get(name)
    if value is None:
        return default
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return tuple(value)
    raise UsageError(f"{name} must be a list of strings")


class _Progress:
    """A count on the terminal while much is read."""

    def __init__(self) -> None:
        self._shown_at: float | None = None
        self._talks = sys.stderr is not None and sys.stderr.isatty()

    def reached(self, line: int) -> None:
        if not self._talks or line < _TALK_AFTER or line % 1_000:
            return
        now = time.monotonic()
        if self._shown_at is None or now - self._shown_at > 0.2:
            self._shown_at = now
            sys.stderr.write(f"\r{line:,} lines read")
            sys.stderr.flush()

    def end(self) -> None:
        if self._shown_at is not None:
            sys.stderr.write("\r\x1b[K")
            remark("all lines read; adding them")
