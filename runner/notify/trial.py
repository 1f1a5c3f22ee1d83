"""Trying the addresses of a configuration, whether or not a runner lives: nothing is written down."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from runner.config import Config
from runner.notify import courier
from runner.notify.addresses import named
from runner.notify.messages import trial
from runner.redact import Redactor


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of one address."""

    name: str
    """Scheme, and host where that is no secret."""
    fault: str | None
    """Why it did not take the message, or is not understood; None: all is well."""

    @property
    def taken(self) -> bool:
        """All is well."""
        return self.fault is None


def send_test(config: Config, *, home: Path, host: str) -> tuple[Answer, ...]:
    """Really send a message to every address, one after the other."""
    return asyncio.run(_each(config, trial(host=host, home=home).words()))


async def _each(config: Config, words: dict[str, str]) -> tuple[Answer, ...]:
    redact = Redactor(config.secrets)
    answers = []
    for name, url in named(config.alert_urls).items():
        fault = await courier.hand(url, [words])
        answers.append(Answer(name=name, fault=redact(fault) if fault is not None else None))
    return tuple(answers)
