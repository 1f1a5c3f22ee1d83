"""The whole of `afk.toml`: the file, its sections, and one error that carries everything wrong with them."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from zoneinfo import ZoneInfo

from runner.config import BudgetConfig, Config
from runner.errors import ConfigError
from runner.regular import read_regular
from runner.settings import sections
from runner.settings.lines import key_lines, line_of
from runner.settings.notes import Notes, Problem, SettingsError
from runner.settings.report import read_report
from runner.settings.secrets import Secrets, hidden_in
from runner.settings.service import read_service
from runner.settings.table import Table
from runner.settings.tasks import read_tasks
from runner.settings.watch import read_watch
from runner.units import MicroUsd

MAX_BYTES = 1024 * 1024


def load(home: Path, *, environ: Mapping[str, str]) -> Config:
    """The settings of a home, from its `afk.toml` and its `.env`, which goes before `environ`.

    Raises ConfigError: a `SettingsError` with every problem, in line order, when the file can be read as TOML.
    """
    path = Path(os.path.abspath(home)) / "afk.toml"
    text = _read(path)
    document = _parse(path, text)
    notes = Notes(path, key_lines(text))
    secrets = Secrets(path.parent, environ)

    config = _config(Table(notes, (), document), path.parent, secrets)

    # What is wrong with .env comes first: every secret that is missing may be missing for it.
    problems = [*secrets.problems, *notes.problems]
    if problems:
        raise SettingsError(problems)
    return config


def task_lines(home: Path) -> Mapping[str, int]:
    """The line on which each task of `afk.toml` begins, by name; empty where the file is not there or is refused."""
    try:
        text = _read(Path(os.path.abspath(home)) / "afk.toml")
        tasks = _parse(Path(), text).get("tasks")
    except ConfigError:
        return {}
    lines = key_lines(text)
    return {name: line_of(lines, ("tasks", name)) for name in tasks} if isinstance(tasks, dict) else {}


def _config(top: Table, home: Path, secrets: Secrets) -> Config:
    zone = top.zone("timezone")
    if "timezone" not in top:
        top.lacks("timezone", 'write the zone the cap\'s day is counted in, such as "Europe/Berlin"')
    zone = zone or ZoneInfo("UTC")
    if top.flag("irreversible"):
        top.refuse("irreversible", "cannot be true for everything; write it into the [tasks.*] table of each such task")
    runner = sections.read_runner(top.table("runner"))
    service = read_service(top.table("service"))
    watch = read_watch(top.table("watch"), secrets)
    budget = sections.read_budget(top.table("budget"))
    retry = sections.read_retry(top.table("retry"))
    breaker = sections.read_breaker(top.table("breaker"))
    upstreams = sections.read_upstreams(top.table("upstreams"), secrets)
    models = sections.read_models(top.table("models"), upstreams)
    prices = sections.read_prices(top.table("prices"))
    tasks = read_tasks(top.table("tasks"), home=home, zone=zone, models=models)
    report = read_report(top.table("report"))
    alert_urls = sections.read_alerts(top.table("alerts"), secrets)
    top.close()
    return Config(
        zone=zone,
        budget=budget or BudgetConfig(daily_usd=MicroUsd(0)),
        runner=runner,
        service=service,
        watch=watch,
        retry=retry,
        breaker=breaker,
        upstreams=upstreams,
        models=models,
        prices=prices,
        tasks=tasks,
        report=report,
        # An alert URL written out in the open is a secret as well: the token of a webhook is its path.
        secrets=tuple(
            dict.fromkeys([*secrets.given, *alert_urls, *(part for url in alert_urls for part in hidden_in(url))])
        ),
        alert_urls=alert_urls,
    )


def _read(path: Path) -> str:
    try:
        _, data = read_regular(path, limit=MAX_BYTES, follow=True)
    except FileNotFoundError:
        raise ConfigError(f"there is no {path}; `afk-runner init` writes one") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SettingsError([Problem(path, line, "this line is not UTF-8 text")]) from None


def _parse(path: Path, text: str) -> dict[str, object]:
    try:
        return tomllib.loads(text, parse_float=_decimal)
    except tomllib.TOMLDecodeError as error:
        said = str(error)
        place = re.search(r" \(at line (\d+), column (\d+)\)$", said)
        line = int(place[1]) if place else text.count("\n") + (not text.endswith("\n"))
        reason = said[: place.start()] if place else said.removesuffix(" (at end of document)")
        where = f"at column {place[2]}" if place else "at the end of the file"
        raise SettingsError([Problem(path, line, f"this is not TOML {where}: {reason}")]) from None
    except ValueError:  # all that is left: the time to read a whole number grows with its square; it names no place
        most = sys.get_int_max_str_digits()
        number = re.search(rf"(?:\d_?){{{most + 1},}}", text)
        line = text.count("\n", 0, number.start() if number else 0) + 1
        raise SettingsError([Problem(path, line, f"a number of more than {most:,} digits is not read")]) from None
    except RecursionError:
        raise ConfigError(f"{path} nests too many brackets") from None


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent beyond all use; NaN fits no setting, so the reader names the line
        return Decimal("NaN")
