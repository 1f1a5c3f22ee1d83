"""What the papers tell people to type is what the programs take, and what the programs say the papers explain."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import typer

from runner.cli import app
from runner.errors import Exit
from runner.settings import load, read_python_task
from runner.store.runners import RunState
from runner.units import parse_usd
from runner.views import Health
from runner.work.context import DECLARED
from runner.work.loader import import_files

ROOT = Path(__file__).parents[2]
PAPERS = ("README.md", "RUNBOOK.md", "CHANGELOG.md")
VERBS: dict[str, Any] = dict(typer.main.get_command(app()).commands)  # type: ignore[attr-defined]
SECRETS = {
    "ANTHROPIC_API_KEY": "a key",
    "HOUSE_KEY": "another",
    "ALERT_WEBHOOK": "json://hooks.example.org/t",
    "PING_URL": "https://p.example/1",
}
RUNBOOK = (ROOT / "RUNBOOK.md").read_text()
SOURCES = {path: ast.parse(path.read_text()) for path in sorted((ROOT / "runner").rglob("*.py"))}


def blocks(paper: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / paper).read_text(), re.DOTALL | re.MULTILINE)


def test_the_settings_in_the_readme_are_settings(tmp_path: Path) -> None:
    """All of them together, but for the `[models]` header that two of them have."""
    top = 'timezone = "Europe/Berlin"\n[budget]\ndaily_usd = "1.00"\n'
    routes = re.findall(r"^\"[^\"]+\" = \"\w+\"$", "\n".join(blocks("README.md", "toml")), re.MULTILINE)
    rest = re.sub(r"^\[models\]\n(\".*\n)*", "", "\n".join(blocks("README.md", "toml")), flags=re.MULTILINE)
    (tmp_path / "afk.toml").write_text(top + "[models]\n" + "\n".join(routes) + "\n" + rest)

    config = load(tmp_path, environ=SECRETS)

    assert set(config.tasks) == {"digest", "notes", "triage-notes", "review"}
    assert set(config.upstreams) == {"anthropic", "ollama", "house"}
    assert config.tasks["review"].max_usd == parse_usd("2.00")


def test_the_settings_in_the_runbook_are_settings(tmp_path: Path) -> None:
    top = 'timezone = "Europe/Berlin"\n[budget]\ndaily_usd = "1.00"\n'
    (tmp_path / "afk.toml").write_text(top + "\n".join(blocks("RUNBOOK.md", "toml")))

    config = load(tmp_path, environ=SECRETS)

    assert config.watch.ping_url == SECRETS["PING_URL"]
    assert config.report.hourly_rate == parse_usd("60")


def test_the_task_in_the_readme_is_a_task(tmp_path: Path) -> None:
    file = tmp_path / "triage.py"
    file.write_text(blocks("README.md", "python")[0])

    try:
        assert import_files(tmp_path) == []
        options = DECLARED["triage"].options
    finally:
        DECLARED.pop("triage", None)

    task = read_python_task("triage", options, file=file, line=1, zone=ZoneInfo("UTC"))
    assert task.max_usd == parse_usd("0.05")
    assert task.schedule is not None


@pytest.mark.parametrize("paper", PAPERS)
def test_every_verb_a_paper_names_is_there(paper: str) -> None:
    named = set(re.findall(r"afk-runner\s+([a-z]+)\b", (ROOT / paper).read_text()))

    assert named - VERBS.keys() <= {"works"}


@pytest.mark.parametrize("paper", PAPERS)
def test_every_option_a_paper_names_is_one_of_its_verb(paper: str) -> None:
    unknown = []
    for typed in re.findall(r"afk-runner ([a-z]+ [^`\n#;|]+)", (ROOT / paper).read_text()):
        verb, *words = typed.split()
        command = VERBS.get(verb)
        if command is None:
            continue
        if words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words[0]]
        takes = {option for parameter in command.params for option in (*parameter.opts, "-h")}
        unknown += [f"{verb} {word}" for word in words if word.startswith("--") and word not in {*takes, "--help"}]

    assert unknown == []


@pytest.mark.parametrize("paper", [*PAPERS, "requirements.txt", "requirements-dev.txt"])
def test_no_paper_names_a_machine_or_a_registry(paper: str) -> None:
    text = (ROOT / paper).read_text()

    assert not re.search(r"/root\b|/work/|/home/\w|/opt/|/tmp/|pypi|file://|index-url|--find-links", text)


KEYS = {
    "telling.STOP": ["stop"],
    "WORD": ["disk"],
    "key": ["cap:"],
    "reason.alert": ["crashloop", "refused"],
    "overdue_key(one.name)": ["schedule:"],
    "skips_key(name)": ["skipped:"],
    "undelivered_key(name)": ["undelivered:"],
    "f'{(_POISON if poison else _DEAD)}{task}'": ["dead:", "poison:"],
}
"""Alerts whose key is not written where they are told of."""


def test_every_alert_is_in_the_runbook() -> None:
    """A message at night names the alert; its line says what to do."""
    written = [each for tree in SOURCES.values() for each in given(tree, "tell", "key")]
    keys = {key for each in written for key in KEYS.get(ast.unparse(each)) or [literal(each)]}

    assert {"breaker:", "dead:", "heartbeat"} <= keys
    assert [key for key in sorted(keys) if f"\n| `{key}" not in RUNBOOK] == []


def test_every_state_of_a_runner_is_in_the_runbook() -> None:
    observed = {*RunState, *Health} - {Health.LIVE, Health.NEVER}  # the state itself, and `never started`
    parked = {literal(each) for tree in SOURCES.values() for each in given(tree, "Reason", "word")}

    assert {"breaker", "refused"} <= parked
    assert [word for word in sorted({*observed, *parked, "stop", "disk"}) if f"\n| `{word}` |" not in RUNBOOK] == []


def test_every_exit_code_is_in_the_runbook() -> None:
    assert [code.value for code in Exit if f"\n| {code.value} |" not in section("Exit codes")] == []


def test_every_line_of_doctor_is_in_the_runbook() -> None:
    trees = [tree for path, tree in SOURCES.items() if path.parent.name == "doctor"]
    named = [each for tree in trees for each in given(tree, "Finding", "name")]
    named += [each for tree in trees for level in ("ok", "warn", "fail") for each in given(tree, level, 0)]
    names = {literal(each) for each in named if isinstance(each, ast.Constant)}

    assert {"home", "upstream", "clock", "service"} <= names
    assert [name for name in sorted(names) if f"`{name}`" not in section("Doctor")] == []


def given(tree: ast.Module, function: str, argument: str | int) -> Iterator[ast.expr]:
    """What the calls of a function in a module are given."""
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and ast.unparse(call.func).rpartition(".")[2] == function:
            if isinstance(argument, int):
                yield from call.args[argument : argument + 1]
            yield from (word.value for word in call.keywords if word.arg == argument)


def literal(value: ast.expr) -> str:
    """A text, or how an f-string begins; whoever writes neither says in KEYS what it is."""
    if isinstance(value, ast.JoinedStr):
        value = value.values[0]
    assert isinstance(value, ast.Constant), ast.unparse(value)
    return str(value.value)


def section(title: str) -> str:
    return RUNBOOK.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
