"""Names that mean something to a shell, to XML, to systemd or to cron arrive as they are, or are refused."""

from __future__ import annotations

import json
import plistlib
import re
import shlex
import subprocess
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.config import BudgetConfig, Config, ServiceConfig
from runner.errors import ConfigError, Refused
from runner.service.plan import Platform
from runner.units import MicroUsd
from tests.runner.service.world import rendered, settings

ODD = " '\"`$%\\&<>|;#!*?[]{}()~=:,-é日\u00a0\u2028\u200b\ufeff😀"
NAMES = st.text(st.sampled_from(ODD + "abz09._") | st.characters(codec="utf-8"), min_size=1, max_size=24).filter(
    lambda name: "/" not in name and "\0" not in name and name not in (".", "..")
)
UNITS = (Platform.SYSTEMD_USER, Platform.SYSTEMD_SYSTEM)
JOBS = (Platform.LAUNCHD, Platform.LAUNCHD_DAEMON)


def config_with(program: Path, folder: str) -> Config:
    service = ServiceConfig(program=program, path=(folder,))
    return Config(zone=ZoneInfo("UTC"), budget=BudgetConfig(daily_usd=MicroUsd(0)), service=service)


def words_of_unit(line: str) -> list[str]:
    """The words of a line of a unit. Source: systemd.syntax(7), "Quoting"; every word of ours is in double quotes."""
    assert re.fullmatch(r'("([^"\\]|\\["\\])*"( |$))+', line), line
    words = [re.sub(r"\\(.)", r"\1", word) for word in re.findall(r'"((?:[^"\\]|\\.)*)"', line)]
    assert not any(re.search(r"(?<!%)(%%)*%(?!%)", word) for word in words)  # no specifier is left
    return [word.replace("%%", "%") for word in words]


def line_of(text: str, key: str) -> str:
    (found,) = re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)
    return str(found)


@given(home=NAMES, program=NAMES, folder=NAMES)
def test_what_is_started_is_what_was_meant(home: str, program: str, folder: str) -> None:
    """For every platform that starts something on this machine: the same argv and PATH, or one sentence."""
    where, what = Path("/srv") / home, Path("/opt") / program / "afk-runner"
    config = config_with(what, f"/tools/{folder}")
    argv = [str(what), "run", "--supervisor", "launchd", "--home", str(where)]
    for platform in (*JOBS, *UNITS, Platform.CRON):
        try:
            (file,) = rendered(platform, config, home=where)
        except (ConfigError, Refused):
            continue
        if platform in JOBS:
            job = plistlib.loads(file.text.encode())
            assert job["ProgramArguments"] == argv
            assert job["WorkingDirectory"] == str(where)
            path = job["EnvironmentVariables"]["PATH"]
        elif platform in UNITS:
            first, *rest = words_of_unit(line_of(file.text, "ExecStart"))
            assert [first, *(word.replace("$$", "$") for word in rest)] == [
                *argv[:3],
                "systemd",
                *argv[4:],
            ]
            path = words_of_unit(line_of(file.text, "Environment"))[0].removeprefix("PATH=")
        else:
            lines = [line for line in file.text.split("\n") if line and not line.startswith("#")]
            assert len(lines) == 2
            for line in lines:
                assert "%" not in line
                assert "\\" not in line
                words = shlex.split(line.split(" ", 5)[5])
                assert words[3] == str(what)
                assert words[-2:] == ["--home", str(where)]
                path = words[1].removeprefix("PATH=")
        assert path.split(":")[0] == f"/tools/{folder}" or ":" in folder


@given(name=NAMES)
def test_the_name_of_a_service_is_plain_whatever_the_home_is_called(name: str) -> None:
    """It becomes a file name, a label, a mark in a crontab."""
    try:
        (file,) = rendered(Platform.CRON, config_with(Path("/bin/afk-runner"), "/x"), home=Path("/srv") / name)
    except (ConfigError, Refused):
        return
    assert re.fullmatch(r"afk-runner(-[a-z0-9-]+)?-[0-9a-f]{6}\.cron", file.name)


@pytest.mark.parametrize(
    "name", ["-", "--", "a b", "it's", 'say "hi"', "a&b<c>", "$HOME", "`id`", "日本", "~", "#1", "*"]
)
def test_a_shell_hands_the_same_words_on(name: str, tmp_path: Path) -> None:
    """From TOML through the line of the crontab and a real sh to the program."""
    home = tmp_path / name
    home.mkdir()
    program = home / "afk-runner"
    program.write_text('#!/bin/sh\nfor word; do printf "%s\\0" "$word"; done\n')
    program.chmod(0o755)
    config = settings(tmp_path, f"[service]\nprogram = {json.dumps(str(program), ensure_ascii=False)}\n")
    (file,) = rendered(Platform.CRON, config, home=home)

    line = file.text.split("\n")[2].split(" ", 5)[5]
    said = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=True).stdout

    assert said.split("\0") == ["run", "--once", "--quiet", "--home", str(home), ""]


@pytest.mark.parametrize("sign", ["%", "\\"])
def test_cron_is_not_trusted_with_signs_it_changes(sign: str, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="cron cannot carry a"):
        rendered(Platform.CRON, settings(tmp_path), home=Path(f"/srv/a{sign}b"))


def test_a_line_longer_than_cron_reads_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="900 is the most"):
        rendered(Platform.CRON, settings(tmp_path), home=Path("/srv/" + "a" * 800))
