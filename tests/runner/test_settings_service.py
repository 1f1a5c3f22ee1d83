"""`[service]`: what it takes, and what it refuses in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.config import RunnerConfig, ServiceConfig
from runner.settings import SettingsError, load

REQUIRED = 'timezone = "Europe/Berlin"\n[budget]\ndaily_usd = "1.00"\n[service]\n'


def read(home: Path, text: str) -> ServiceConfig:
    (home / "afk.toml").write_text(REQUIRED + text)
    return load(home, environ={}).service


def test_every_key_arrives(tmp_path: Path) -> None:
    text = 'name = "night_shift"\nprogram = "/opt/a b"\npath = ["/x", "/y z"]\nlang = "C.UTF-8"\n'
    text += 'session = "user"\nhardening = "strict"\n'

    assert read(tmp_path, text) == ServiceConfig(
        name="night_shift",
        program=Path("/opt/a b"),
        path=("/x", "/y z"),
        lang="C.UTF-8",
        session="user",
        hardening="strict",
    )
    assert read(tmp_path, "") == ServiceConfig()


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('name = "a b"', "must be letters, digits, - and _"),
        ('name = "../x"', "must be letters, digits, - and _"),
        (f'name = "{"a" * 49}"', "at most 48 of them"),
        ('program = "afk-runner"', "must be an absolute path in one line"),
        ('program = "/a\\nb"', "must be an absolute path in one line"),
        ('lang = "de DE"', "must be the name of a locale"),
        ('path = ["bin"]', "must hold absolute paths, each without a colon"),
        ('path = ["/a:/b"]', "each without a colon"),
        ('path = "/a"', "must be a list of strings"),
        ('session = "gui/501"', 'must be "gui" or "user"'),
        ('hardening = "most"', 'must be "standard" or "strict"'),
        ('sesion = "gui"', "session"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(line: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        read(tmp_path, line + "\n")
    (problem,) = refused.value.problems
    assert sentence in problem.text
    assert problem.line == REQUIRED.count("\n") + 1


@pytest.mark.parametrize(("grace_ms", "within_s"), [(0, 25), (1, 26), (20_000, 45), (20_500, 46)])
def test_the_time_to_end_is_the_grace_and_what_ending_takes(grace_ms: int, within_s: int) -> None:
    assert RunnerConfig(stop_grace_ms=grace_ms).end_within_s == within_s
