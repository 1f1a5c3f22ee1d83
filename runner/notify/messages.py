"""Alerts in words: what a person reads on a telephone at three in the morning."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.notify.owed import Due
from runner.store.alerts import SETTLED, Alert
from runner.text import one_line
from runner.units import UnixMs, iso, plural

MOST_APART = 10
"""More than so many alerts at once are one message that lists them."""
MOST_LISTED = 40
TEXT_LIMIT = 1_000
LINE_LIMIT = 200

_KINDS = {"info": "info", "warn": "warning", "error": "failure"}
_CALLS = re.compile(r"@(?=everyone|here|channel|all\b)|<(?=[!@#])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message, and what whoever took it knows then."""

    title: str
    body: str
    kind: str
    """Of apprise: `info`, `warning`, `failure`, `success`."""
    of: tuple[Alert, ...]

    def words(self) -> dict[str, str]:
        """What is handed to the child."""
        return {"title": self.title, "body": self.body, "kind": self.kind}


def compose(due: Sequence[Due], *, host: str, home: Path, redact: Callable[[str], str]) -> list[Message]:
    """A message for each alert, or one for all of them when they are many."""
    if len(due) > MOST_APART:
        return [_list(due, host=host, home=home, redact=redact)]
    return [_one(one, host=host, home=home, redact=redact) for one in due]


def trial(*, host: str, home: Path) -> Message:
    """The message of `alerts test`."""
    body = f"This is a test: alerts of {home} on {host} arrive here. Nothing happened, and nothing is to be done."
    return Message(title=f"{host}: test", body=body, kind="info", of=())


def _one(due: Due, *, host: str, home: Path, redact: Callable[[str], str]) -> Message:
    alert, told = due.alert, due.told
    text = _clean(alert.text, redact, TEXT_LIMIT)
    over = _is_over(alert)
    lines = []
    if told is None:
        lines.append(text)
        if alert.times > 1:
            lines.append(f"{alert.times} times since {_at(alert.at)}, the last at {_at(alert.last_at)}")
    elif alert.times > told.times:
        more = f"{alert.times - told.times} more since {_at(told.at)}, {alert.times} in all since {_at(alert.at)}"
        lines.append(f"{more}; the last: {text}")
    elif not over:
        lines.append(f"it is there again: {text}")
    if over:
        end = _clean(alert.end_text, redact, TEXT_LIMIT) if alert.end_text else f"it holds no more: {text}"
        # Who was not told of it hears of both at once.
        lines.append(end if told is not None else f"it is over since {_at(alert.closed_at)}: {end}")
    lines.append(f"({alert.level}, {_at(alert.last_at)}, home {home})")
    word = " is over" if over else ""
    return Message(
        title=f"{host}: {_clean(alert.key, redact, LINE_LIMIT)}{word}",
        body="\n".join(lines),
        kind="success" if over else _KINDS.get(alert.level, "warning"),
        of=(alert,),
    )


def _list(due: Sequence[Due], *, host: str, home: Path, redact: Callable[[str], str]) -> Message:
    lines = []
    for one in due[:MOST_LISTED]:
        alert = one.alert
        word = "over: " if _is_over(alert) else ""
        times = f" ({alert.times} times)" if alert.times > 1 else ""
        lines.append(f"{_at(alert.last_at)} {alert.level} {word}{_clean(alert.text, redact, LINE_LIMIT)}{times}")
    if len(due) > MOST_LISTED:
        lines.append(f"and {len(due) - MOST_LISTED} more; `afk-runner alerts --all` lists them")
    lines.append(f"(home {home})")
    worst = "failure" if any(one.alert.level == "error" for one in due) else "warning"
    return Message(
        title=f"{host}: {plural(len(due), 'alert')}",
        body="\n".join(lines),
        kind=worst,
        of=tuple(one.alert for one in due),
    )


def _is_over(alert: Alert) -> bool:
    return alert.closed_at is not None and alert.ending == SETTLED


def _clean(text: str, redact: Callable[[str], str], limit: int) -> str:
    """On one line, without secrets, and without what calls a whole channel: errors hold words of others."""
    return _CALLS.sub(lambda found: f"{found[0]}\u200b", one_line(redact(text), limit))


def _at(at: UnixMs | None) -> str:
    return (iso(at) or "?")[:19] + "Z"
