"""What the papers tell people to type is what the programs take."""

from __future__ import annotations

import re
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from runner.cli import app
from runner.settings import load, read_python_task
from runner.units import parse_usd
from runner.work.context import DECLARED
from runner.work.loader import import_files

ROOT = Path(__file__).parents[2]
PAPERS = ("README.md", "RUNBOOK.md", "CHANGELOG.md")
VERBS = {command.callback.__name__ for command in app.registered_commands if command.callback}


def blocks(paper: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / paper).read_text(), re.DOTALL | re.MULTILINE)


def test_the_settings_in_the_readme_are_settings(tmp_path: Path) -> None:
    """All of them together, but for the `[models]` header that two of them have."""
    top = 'timezone = "Europe/Berlin"\n[budget]\ndaily_usd = "1.00"\n'
    routes = re.findall(r"^\"[^\"]+\" = \"\w+\"$", "\n".join(blocks("README.md", "toml")), re.MULTILINE)
    rest = re.sub(r"^\[models\]\n(\".*\n)*", "", "\n".join(blocks("README.md", "toml")), flags=re.MULTILINE)
    (tmp_path / "afk.toml").write_text(top + "[models]\n" + "\n".join(routes) + "\n" + rest)

    config = load(tmp_path, environ={"ANTHROPIC_API_KEY": "a key of the test", "HOUSE_KEY": "another"})

    assert set(config.tasks) == {"digest", "notes", "triage-notes", "review"}
    assert set(config.upstreams) == {"anthropic", "ollama", "house"}
    assert config.tasks["review"].max_usd == parse_usd("2.00")


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
    named = set(re.findall(r"afk-runner ([a-z]+)\b", (ROOT / paper).read_text()))

    assert named - VERBS <= {"works"}


@pytest.mark.parametrize("paper", [*PAPERS, "requirements.txt", "requirements-dev.txt"])
def test_no_paper_names_a_machine_or_a_registry(paper: str) -> None:
    text = (ROOT / paper).read_text()

    assert not re.search(r"/root\b|/work/|/home/\w|/opt/|/tmp/|pypi|file://|index-url|--find-links", text)
