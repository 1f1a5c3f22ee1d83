"""`afk-runner service …` as a person types it."""

from __future__ import annotations

import json
import os
import plistlib
import subprocess
import sys
from pathlib import Path

import pytest

from runner.errors import Refused
from runner.home import Home
from runner.lock import HomeLock
from runner.service.choose import platform_for
from runner.service.machine import Machine
from runner.service.plan import Platform
from tests.runner.cli.world import Afk


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A Linux of a temporary folder."""
    here = Machine(
        system="Linux",
        user="ada",
        uid=os.geteuid(),
        gid=os.getegid(),
        user_home=tmp_path / "ada",
        euid=os.geteuid(),
        program=Path("/opt/afk/bin/afk-runner"),
        root=tmp_path / "root",
    )
    monkeypatch.setattr(Machine, "of", lambda home: here)
    return here


@pytest.fixture
def crontab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A crontab that keeps what it is given."""
    folder = tmp_path / "bin"
    folder.mkdir()
    tab = folder / "tab"
    (folder / "crontab").write_text(
        f'#!/bin/sh\ncase "$1" in -l) cat "{tab}" 2>/dev/null || {{ echo "no crontab for ada" >&2; exit 1; }};;'
        f' -r) rm "{tab}";; -) cat > "{tab}";; esac\n'
    )
    (folder / "crontab").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return tab


def test_render_prints_a_file_to_the_byte(afk: Afk) -> None:
    said = afk("service", "render", "--platform", "launchd")

    assert said.code == 0
    job = plistlib.loads(said.out.encode())
    assert job["ProgramArguments"][0] == "/opt/afk/bin/afk-runner"
    assert said.out == afk("service", "render", "--platform", "launchd", "--json").json["files"][0]["text"]


def test_render_writes_files_and_overwrites_none(afk: Afk, tmp_path: Path) -> None:
    to = tmp_path / "checkout"
    first = afk("service", "render", "--platform", "docker", "--to", str(to))
    again = afk("service", "render", "--platform", "docker", "--to", str(to))
    (to / "Dockerfile").write_text("FROM scratch\n")
    third = afk("service", "render", "--platform", "docker", "--to", str(to))

    assert sorted(path.name for path in to.iterdir()) == [".dockerignore", "Dockerfile", "compose.yaml"]
    assert "wrote" in first.out
    assert (again.code, again.out.count("is as it was")) == (0, 3)
    assert third.code == 1
    assert "Dockerfile is there and differs" in third.err
    assert (to / "Dockerfile").read_text() == "FROM scratch\n"


def test_a_home_that_no_file_can_carry_is_refused_in_one_line(afk: Afk, home: Home) -> None:
    hostile = home.root.with_name("two\nlines")
    home.root.rename(hostile)

    said = afk("service", "render", "--platform", "cron", "--home", str(hostile))

    assert said.code == 78
    assert said.err.count("\n") == 1
    assert "a line break" in said.err


def test_install_status_stop_uninstall(afk: Afk, crontab: Path) -> None:
    installed = afk("service", "install", "--platform", "cron", "--json")
    assert installed.code == 0
    assert installed.json["changed"] is True

    status = afk("service", "status", "--json")
    assert status.code == 3
    assert status.json["verdict"] == "not running"
    assert status.json["installed"] is True
    assert status.json["platform"] == "cron"
    assert (status.json["runner"]["pid"], status.json["loaded"]) == (None, True)

    assert afk("service", "stop").code == 0
    assert afk("service", "start").code == 0
    assert afk("service", "restart").code == 0
    assert afk("service", "uninstall").code == 0
    assert not crontab.exists()
    gone = afk("service", "status", "--platform", "cron")
    assert gone.code == 4
    assert gone.out.startswith("unknown: nothing is installed on cron")


def test_status_says_when_the_file_is_out_of_date(afk: Afk, crontab: Path, home: Home) -> None:
    afk("service", "install", "--platform", "cron")
    home.config.write_text(home.config.read_text() + '[service]\nlang = "de_DE.UTF-8"\n')

    said = afk("service", "status")

    assert "differs from what would be rendered now" in said.err
    assert afk("service", "install").code == 0
    assert "differs" not in afk("service", "status").err


def test_a_machine_without_any_is_unknown(afk: Afk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    said = afk("service", "status", "--platform", "cron")

    assert said.code == 4
    assert "there is no crontab on this machine" in said.out + said.err


def test_status_without_a_platform_is_json_and_tells_of_a_live_runner(
    afk: Afk, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> Platform:
        raise Refused("this machine has none")

    monkeypatch.setattr("runner.service.verbs.platform_for", none)
    lock = HomeLock(home.lock)
    assert lock.take()

    said, document = afk("service", "status"), afk("service", "status", "--json")

    lock.close()
    text = f"pid {os.getpid()} holds the home, started by somebody else; this machine has none"
    assert (said.code, said.out) == (4, f"unknown: {text}\n")
    assert document.code == 4
    assert (document.json["platform"], document.json["verdict"], document.json["text"]) == (None, "unknown", text)
    assert document.json["runner"]["pid"] == os.getpid()


def test_a_machine_without_any_names_other_ways(
    home: Home, machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(Path, "is_dir", lambda _: False)

    with pytest.raises(Refused, match=r"systemd-user, .*docker, fly\), or keep `afk-runner run` in tmux, or a con"):
        platform_for(home, machine, None)


def test_render_makes_no_folders_above_the_one_that_was_named(afk: Afk, tmp_path: Path) -> None:
    said = afk("service", "render", "--platform", "docker", "--to", str(tmp_path / "slip" / "x"))

    assert said.code == 1
    assert f"there is no folder {tmp_path / 'slip'}" in said.err
    assert not (tmp_path / "slip").exists()


@pytest.mark.parametrize("verb", ["install", "start", "stop", "restart", "uninstall"])
def test_verbs_for_containers_name_theirs(verb: str, afk: Afk) -> None:
    said = afk("service", verb, "--platform", "fly")

    assert said.code == 1
    assert "fly deploy" in said.err


def test_json_is_one_document(afk: Afk) -> None:
    said = afk("service", "render", "--platform", "docker", "--json")

    assert [file["name"] for file in json.loads(said.out)["files"]] == ["Dockerfile", ".dockerignore", "compose.yaml"]


def test_the_line_of_cron_is_quiet_while_another_runner_works(afk: Afk, home: Home) -> None:
    """cron mails every word: a lock that is held is none."""
    lock = HomeLock(home.lock)
    assert lock.take()
    program = Path(sys.executable).with_name("afk-runner")

    said = subprocess.run(
        [program, "run", "--once", "--quiet", "--home", str(home.root)], capture_output=True, text=True, check=False
    )

    lock.close()
    assert (said.returncode, said.stdout, said.stderr) == (75, "", "")
