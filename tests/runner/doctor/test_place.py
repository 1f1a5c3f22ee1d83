"""The home, its files, and the disk it is on."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from runner.doctor.finding import Level
from runner.doctor.look import Look
from runner.doctor.place import is_temporary, place, surroundings
from runner.home import Home
from tests.runner.doctor.conftest import Tool


def told(look: Look) -> dict[str, Level]:
    """Without the remark that the home of a test is in a temporary folder."""
    return {finding.text: finding.level for finding in surroundings(look) if "temporary" not in finding.text}


def test_a_home_of_our_own_has_nothing_around_it(look: Look) -> None:
    assert [finding.level for finding in place(look)] == [Level.OK]
    assert told(look) == {}


@pytest.mark.parametrize(("mode", "level"), [(0o755, Level.WARN), (0o777, Level.FAIL)])
def test_an_open_home_is_told_with_the_command_that_closes_it(look: Look, mode: int, level: Level) -> None:
    look.home.root.chmod(mode)

    (found,) = place(look)

    assert (found.level, found.mend) == (level, f"chmod 700 {look.home.root}")


def test_a_database_that_is_a_link_fails(look: Look, tmp_path: Path) -> None:
    """Two homes with a lock each would run the jobs of one database twice."""
    look.home.db.rename(tmp_path / "agent.db")
    look.home.db.symlink_to(tmp_path / "agent.db")

    (text,) = told(look)

    assert "is a link: another home may lead to the same file" in text


def test_a_database_that_others_can_read_is_told(look: Look) -> None:
    look.home.db.chmod(0o644)

    assert told(look) == {f"{look.home.db} can be read by others": Level.WARN}


def test_a_folder_in_the_place_of_the_database_is_not_told_to_be_made_a_file_by_chmod(look: Look) -> None:
    look.home.db.unlink(missing_ok=True)
    look.home.db.mkdir(mode=0o755)

    assert not any("can be read by others" in text for text in told(look))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_home_of_somebody_else_fails_with_what_makes_it_ours(look: Look) -> None:
    """As a volume is at its first mount: no chmod would help."""
    os.chown(look.home.root, 12345, 12345)

    (found,) = place(look)

    assert found.level is Level.FAIL
    assert (found.mend or "").startswith(f"sudo chown -R {os.geteuid()} ")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_fails(look: Look) -> None:
    os.chown(look.home.config, 12345, 12345)

    assert told(look) == {f"{look.home.config} belongs to somebody else (uid 12345)": Level.FAIL}


def test_task_files_outside_that_others_may_write_fail(look: Look, tmp_path: Path) -> None:
    """What lies in the home is guarded by the home's own mode; what a link leads to is not."""
    look.home.tasks.joinpath("inside.py").write_text("")
    look.home.tasks.joinpath("inside.py").chmod(0o666)
    shared = tmp_path / "shared.py"
    shared.write_text("")
    shared.chmod(0o666)
    look.home.tasks.joinpath("outside.py").symlink_to(shared)

    assert list(told(look).values()) == [Level.FAIL]


def test_what_others_may_write_in_a_home_they_may_read_is_told(look: Look) -> None:
    """What runs as us fails; what is only looked at is a warning; what is told fails once."""
    look.home.root.chmod(0o755)
    look.home.tasks.chmod(0o777)
    look.home.outputs.chmod(0o777)

    found = {finding.mend: finding.level for finding in surroundings(look) if "may write" in finding.text}

    assert found == {
        f"chmod go-w {look.home.tasks}": Level.FAIL,
        f"chmod go-w {look.home.outputs}": Level.WARN,
    }


@pytest.mark.parametrize("folder", ["Dropbox", "OneDrive - Work", "Library/Mobile Documents"])
def test_a_synchronised_home_is_told(look: Look, tmp_path: Path, folder: str) -> None:
    root = tmp_path / folder / "home"
    root.parent.mkdir(parents=True)
    look.home.root.rename(root)

    (text,) = told(replace(look, home=Home(root)))

    assert "a copy of a database in use is a damaged one" in text


def test_folders_that_empty_themselves_are_known() -> None:
    assert is_temporary(Path("/private/var/folders/zz/T/venv"))
    assert is_temporary(Path("/tmp/x"))
    assert not is_temporary(Path("/srv/tmp/x"))


@pytest.mark.parametrize(
    ("mount", "said"),
    [
        ("//me@nas/share on {} (smbfs, nodev, nosuid, mounted by me)", "network volume (smbfs at"),
        ("/dev/disk4s1 on {} (exfat, local, nodev)", "keeps neither owners nor modes"),
        ("/dev/disk3s5 on {} (apfs, local, journaled)", None),
    ],
)
def test_the_volume_of_a_mac_is_asked_for(look: Look, tool: Tool, mount: str, said: str | None) -> None:
    point = look.home.root.parent.resolve()
    tool("mount", f"cat <<'E'\n/dev/disk3s1s1 on / (apfs, sealed, local)\n{mount.format(point)}\nE")

    texts = list(told(replace(look, platform="darwin")))

    assert len(texts) == (said is not None)
    assert said is None or said in texts[0]


def test_a_home_in_its_lasting_place_is_not_moved_onto_itself(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where HOME itself is in a temporary folder."""
    home = Home(look.home.root.parent / ".afk")
    look.home.root.rename(home.root)
    monkeypatch.setenv("HOME", str(home.root.parent))

    (said,) = [each for each in surroundings(replace(look, home=home)) if "temporary" in each.text]

    assert said.mend is not None
    assert "mv " not in said.mend
