"""The machine around the home: clock, sleep, disk, guarded folders, terminal and the program itself."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from runner.care.disk import MB, Room
from runner.doctor import clock, disk, program
from runner.doctor import wake as wake_module
from runner.doctor.finding import Level
from runner.doctor.look import Look
from runner.doctor.privacy import privacy
from runner.doctor.terminal import terminal
from runner.doctor.wake import wake
from runner.store import controls, events
from runner.units import HOUR_MS, UnixMs
from tests.runner.doctor.conftest import Tool, levels

PMSET = """
cat <<'END'
Battery Power:
 sleep                1
 autorestart          0
AC Power:
 Sleep On Power Button 1
 sleep                {sleep}
 autorestart          {autorestart}
 womp                 1
END
"""


def test_a_clock_behind_the_newest_row_was_set_back(look: Look) -> None:
    with closing(sqlite3.connect(look.home.db)) as db, db:
        events.record(db, now=UnixMs(look.now + 2 * HOUR_MS), level="info", event="job.done", text="later")

    (found,) = [finding for finding in clock.clock(look) if finding.level is Level.WARN and "ahead" in finding.text]

    assert found.text.startswith("the newest row of the database is 2h ahead of the clock")


def test_a_clock_that_was_never_set_fails(look: Look) -> None:
    found = list(clock.clock(replace(look, now=UnixMs(86_400_000))))

    assert found[0].level is Level.FAIL
    assert "1970-01-02" in found[0].text


@pytest.mark.parametrize(("said", "level"), [("yes", [Level.OK]), ("no", [Level.WARN]), ("", [])])
def test_whether_a_time_server_keeps_the_clock(look: Look, tool: Tool, said: str, level: list[Level]) -> None:
    tool("timedatectl", f"echo {said}")

    assert [finding.level for finding in clock.clock(look) if "time server" in finding.text] == level


def test_the_zone_of_the_caps_is_told_with_its_hour(look: Look) -> None:
    winter = UnixMs(1_800_000_000_000)  # 2027-01-15T08:00Z

    told = [finding.text for finding in clock.clock(replace(look, now=winter))]

    assert told[-1] == "09:00 in Europe/Berlin (UTC+01:00): at its midnight a day of the caps begins"


@pytest.mark.parametrize(
    ("settings", "power", "wanted"),
    [
        ((0, 1), "AC Power", ["ok"]),
        ((10, 1), "AC Power", ["warn"]),
        ((0, 0), "AC Power", ["ok", "warn"]),
        ((0, 1), "Battery Power", ["ok", "warn"]),
    ],
)
def test_when_a_mac_sleeps(look: Look, tool: Tool, settings: tuple[int, int], power: str, wanted: list[str]) -> None:
    script = PMSET.format(sleep=settings[0], autorestart=settings[1])
    tool("pmset", f'if [ "$2" = batt ]; then echo "Now drawing from \'{power}\'"; exit; fi\n{script}')

    assert levels(list(wake(replace(look, platform="darwin")))) == wanted


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (("graphical.target", "static"), ["warn"]),
        (("graphical.target", "masked"), []),
        (("multi-user.target", "static"), []),
    ],
)
def test_a_desktop_that_may_suspend_is_told(
    look: Look, tool: Tool, monkeypatch: pytest.MonkeyPatch, said: tuple[str, str], wanted: list[str]
) -> None:
    monkeypatch.setattr(wake_module, "SYSTEMD", look.home.root)
    tool("systemctl", f'if [ "$1" = get-default ]; then echo {said[0]}; else echo {said[1]}; fi')

    assert levels(list(wake(look))) == wanted


def test_a_pmset_that_says_nothing_is_said_so(look: Look, tool: Tool) -> None:
    tool("pmset", "exit 1")
    tool("systemctl", "exit 1")

    assert levels(list(wake(replace(look, platform="darwin")))) == ["warn"]
    assert list(wake(look)) == []


def test_a_home_in_a_guarded_folder_is_told_although_it_opens(look: Look, tmp_path: Path) -> None:
    """A terminal may read there; an agent of launchd is refused without a question."""
    documents = tmp_path / "Documents"
    (documents / "work").mkdir(parents=True)
    task = replace(look.tasks["sweep"], cwd=documents / "work")

    found = list(privacy(replace(look, platform="darwin", tasks={"sweep": task})))

    assert levels(found) == ["warn"]
    assert f"is below {documents.resolve()}" in found[0].text


@pytest.mark.parametrize("platform", ["darwin", "linux"])
def test_what_the_runner_itself_found_outweighs_what_is_seen_from_here(
    look: Look, tmp_path: Path, platform: str
) -> None:
    """A guarded folder that it may open is none to speak of, and one that only it is refused is."""
    documents = tmp_path / "Documents"
    documents.mkdir()
    task = replace(look.tasks["sweep"], cwd=documents)
    on = replace(look, platform=platform, tasks={"sweep": task})
    with closing(sqlite3.connect(look.home.db, isolation_level=None)) as db:
        controls.note_reach(db, {str(documents): None, str(look.home.root): None}, now=look.now)
        assert levels(list(privacy(on))) == (["ok"] if platform == "darwin" else [])

        controls.note_reach(db, {str(documents): "Operation not permitted"}, now=look.now)
        (found,) = privacy(on)
    assert found.level is Level.FAIL
    assert "by the runner itself under its supervisor: Operation not permitted" in found.text


def test_a_place_that_cannot_be_opened_fails(look: Look, tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    task = replace(look.tasks["sweep"], cwd=loop)

    found = list(privacy(replace(look, platform="darwin", tasks={"sweep": task})))

    assert levels(found) == ["fail"]
    assert list(privacy(look)) == []


@pytest.mark.parametrize(
    ("free_mb", "files", "wanted"),
    [
        (100_000, None, ["ok"]),
        (500, 50_000, ["warn"]),
        (100, 50_000, ["fail"]),
        (100_000, 2_000, ["ok", "warn"]),
        (100_000, 500, ["ok", "fail"]),
    ],
)
def test_a_disk_is_told_before_it_parks_the_runner(
    look: Look, monkeypatch: pytest.MonkeyPatch, free_mb: int, files: int | None, wanted: list[str]
) -> None:
    """The same measure as the runner's own, which parks below 200 MB and 1,000 files."""
    monkeypatch.setattr(disk, "room", lambda _path: Room(size=500_000 * MB, free=free_mb * MB, files=files))

    assert levels(list(disk.disk(look))) == wanted


def test_logs_that_grew_out_of_hand_are_told(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "MUCH_BYTES", 50_000)
    (look.home.logs / "runner.jsonl").write_bytes(b"x" * 100_000)

    (found,) = [finding for finding in disk.disk(look) if finding.level is Level.WARN]

    assert found.text.startswith(f"{look.home.logs} takes")


def test_a_log_of_nothing_is_no_matter_on_a_full_disk(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "room", lambda _path: Room(size=500_000 * MB, free=0, files=None))
    (look.home.logs / "runner.jsonl").write_bytes(b"x" * 100_000)

    assert levels(list(disk.disk(look))) == ["fail"]


@pytest.mark.parametrize(
    ("prefix", "said"),
    [
        ("/opt/homebrew/Cellar/afk/1.0/libexec", "/opt/homebrew/opt/afk stays"),
        ("/u/.cache/uv/archive-v0/AbC/", "in uv's cache"),
        ("/u/.cache/uv/environments-v2/x", "in uv's cache"),
        ("/private/var/folders/a/T/venv", "temporary files"),
        ("/u/.Trash/venv", "in the bin"),
    ],
)
def test_an_interpreter_that_will_not_stay_is_told(prefix: str, said: str) -> None:
    (found,) = program.interpreter(Path(prefix), Path("/bin/sh"))  # any program: only its places are looked at

    assert found.level is Level.WARN
    assert said in found.text
    assert found.mend is not None
    assert "uv tool install ." in found.mend, "no registry has this program"


def test_a_venv_on_the_python_of_a_cellar_is_told(tmp_path: Path) -> None:
    """The environment stays, the interpreter that its link leads to does not."""
    cellar = tmp_path / "Cellar/python@3.12/3.12.4/bin/python3.12"
    cellar.parent.mkdir(parents=True)
    cellar.touch()
    link = tmp_path / "python"
    link.symlink_to(cellar)

    (found,) = program.interpreter(Path("/srv/venv"), link)

    assert "the next `brew upgrade` removes" in found.text


def test_an_interpreter_that_others_can_replace_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "is_temporary", lambda _path: False)  # where a test has to put its file
    open_to_all = tmp_path / "python"
    open_to_all.touch()
    open_to_all.chmod(0o777)

    (found,) = program.interpreter(Path("/srv/venv"), open_to_all)

    assert (found.level, found.mend) == (Level.FAIL, f"chmod go-w {os.path.realpath(open_to_all)}")


def test_a_second_install_on_the_path_is_told(look: Look, tmp_path: Path) -> None:
    one, two, link = (tmp_path / name for name in ("one", "two", "link"))
    for folder in (one, two, link):
        folder.mkdir()
    for folder in (one, two):
        (folder / "afk-runner").write_text("#!/bin/sh\n")
        (folder / "afk-runner").chmod(0o755)
    (link / "afk-runner").symlink_to(one / "afk-runner")

    said = list(program.program(replace(look, environ={"PATH": f"{one}:{two}:{link}"})))[-1].text

    assert said.startswith(f"there is more than one afk-runner on this PATH: {one}/afk-runner, {two}/afk-runner;")


@pytest.mark.parametrize(("said", "level"), [("tmux 3.3a", "ok"), ("tmux 2.8", "warn"), ("", "ok")])
def test_the_tmux_that_is_here(look: Look, tool: Tool, tmp_path: Path, said: str, level: str) -> None:
    tool("tmux", f"echo {said}")

    assert levels(list(terminal(replace(look, environ={"PATH": f"{tmp_path}/tools"})))) == [level]
    assert levels(list(terminal(replace(look, environ={"PATH": str(tmp_path)})))) == ["warn"]
