"""What doctor says of commands, of the agents among them, and of what cannot be confined."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from runner.config import TaskConfig, TaskKind
from runner.doctor import Finding, Level
from runner.doctor.children import NEWER, TRIED, children
from runner.work import confine


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH of our own, so that no agent of the machine is met."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def agent(folder: Path, name: str, says: str = "999.0.1 (An Agent)") -> str:
    """A program of that name, which says a version and what it was given."""
    program = folder / name
    program.write_text(f"#!/bin/sh\n[ -z \"$ANTHROPIC_API_KEY\" ] && echo '{says}'\n")
    program.chmod(0o755)
    return str(program)


def task(name: str, *command: str, confined: bool = False, kind: TaskKind = TaskKind.COMMAND) -> TaskConfig:
    return TaskConfig(name=name, kind=kind, command=command, confine="network" if confined else None)


def found(*tasks: TaskConfig) -> list[Finding]:
    return list(children({task.name: task for task in tasks}))


def test_an_agent_is_shown_with_its_version_and_what_leads_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked in an environment without the owner's keys, and only its first line is taken, made harmless."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-owner")
    agent(path, "claude", r"2.1.197\033[2J (Claude Code)")

    (shown,) = [finding for finding in found() if finding.name == "agents"]

    assert shown.level is Level.OK
    assert shown.text.startswith(f"{path}/claude (2.1.197")
    assert "\033" not in shown.text
    assert "pinned" in shown.text


def test_an_agent_older_than_the_one_that_was_tried_is_a_warning(path: Path) -> None:
    agent(path, "claude", "2.1.96 (Claude Code)")
    agent(path, "codex", "no number at all")

    shown = {finding.text.split(" ")[0]: finding for finding in found() if finding.name == "agents"}

    assert {finding.level for finding in shown.values()} == {Level.WARN}
    assert "of an older one nobody knows" in shown[f"{path}/claude"].text
    assert shown[f"{path}/claude"].mend == NEWER["claude"]


def test_an_agent_that_hangs_costs_no_other_its_answer(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = agent(path, "claude")
    Path(program).write_text("#!/bin/sh\nexec sleep 600\n")
    agent(path, "codex")

    real = subprocess.run

    def run(argv: list[str], *, timeout: float, **rest: Any) -> subprocess.CompletedProcess[bytes]:
        """The time of the one that hangs is soon up; the other has all of its own."""
        return real(argv, timeout=0.2 if argv[0] == program else timeout, **rest)

    monkeypatch.setattr(subprocess, "run", run)

    shown = {finding.text.split(" ")[0]: finding for finding in found(task("a", program)) if finding.name == "agents"}

    assert shown[program].level is Level.WARN
    assert "does not say its version" in shown[program].text
    assert shown[f"{path}/codex"].level is Level.OK


def test_the_versions_that_were_tried_are_those_the_tests_run() -> None:
    """A table of ours that lags behind would call a sound agent old."""
    packages = json.loads((Path(__file__).parents[2] / "agents" / "package.json").read_text())["dependencies"]
    named = {"claude": "@anthropic-ai/claude-code", "codex": "@openai/codex", "opencode": "opencode-ai"}

    assert {agent: ".".join(map(str, tried)) for agent, tried in TRIED.items()} == {
        agent: packages[package] for agent, package in named.items()
    }
    assert NEWER.keys() == TRIED.keys()


def test_an_agent_that_the_gate_does_not_serve_is_said_so(path: Path) -> None:
    program = agent(path, "gemini")

    (unused,) = [finding for finding in found() if finding.name == "agents"]
    (used,) = [finding for finding in found(task("a", program)) if finding.name == "agents"]

    assert "does not serve" in unused.text
    assert (unused.level, used.level) == (Level.OK, Level.WARN)
    assert used.mend


def test_an_unconfined_agent_is_a_warning_with_the_way_out(path: Path) -> None:
    said = {finding.text: finding for finding in found(task("review", agent(path, "claude"), "-p")) if finding.mend}

    (warning,) = said.values()
    assert warning.level is Level.WARN
    assert warning.mend == '[tasks.review] confine = "network"'


def test_what_is_not_confined_is_named(path: Path) -> None:
    """A command that the owner left open, and Python tasks, which cannot be confined."""
    told = [finding.text for finding in found(task("sync", "sh"), task("triage", kind=TaskKind.PYTHON))]

    assert "not confined, as afk.toml has it: sync" in told
    assert any(text.startswith("Python tasks run as you") and "triage" in text for text in told)


def test_what_can_be_confined_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confine, "obstacle", lambda: None)

    (said,) = [finding for finding in found(task("review", "sh", confined=True)) if finding.name == "confine"]

    assert (said.level, said.mend) == (Level.OK, None)
    assert "review" in said.text


def test_what_cannot_be_confined_is_a_failure_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a task is never run, which is worse than a warning."""
    monkeypatch.setattr(confine, "obstacle", lambda: "the kernel makes no namespace here")

    (said,) = [finding for finding in found(task("review", "sh", confined=True)) if finding.name == "confine"]

    assert said.level is Level.FAIL
    assert "review; the kernel makes no namespace here" in said.text
    assert said.mend


@pytest.mark.parametrize(
    ("setting", "value", "mend"),
    [
        ("kernel.unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
        ("user.max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=10000"),
        (
            "kernel.apparmor_restrict_unprivileged_userns",
            "1",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    ],
)
def test_the_way_out_names_the_setting_that_is_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, value: str, mend: str
) -> None:
    file = tmp_path.joinpath("sys", *setting.split("."))
    file.parent.mkdir(parents=True)
    file.write_text(f"{value}\n")
    monkeypatch.setattr(confine, "SYSCTLS", tmp_path / "sys")
    monkeypatch.setattr(confine.sys, "platform", "linux")

    assert confine.way_out() == mend


def test_without_a_setting_in_the_way_the_container_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confine, "SYSCTLS", tmp_path)
    monkeypatch.setattr(confine.sys, "platform", "linux")

    assert "docker run --security-opt" in confine.way_out()


def test_a_program_that_is_not_there_is_told(path: Path) -> None:
    told = found(task("a", f"{path}/claude"))
    (said,) = [finding for finding in told if finding.name in ("tasks", "agents")]

    assert said.level is Level.WARN
    assert f"{path}/claude is no program" in said.text
