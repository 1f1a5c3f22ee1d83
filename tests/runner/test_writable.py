"""A home that others may enter: whatever in it runs as us is ours alone to write, or nothing is run."""

from __future__ import annotations

import shlex
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from runner.errors import ConfigError
from runner.home import Home
from runner.work.declared import discover
from runner.writable import check_closed

TRUSTED = ("afk.toml", "tasks", "tasks/mine.py", "agent.db", "agent.db-wal", "agent.db-shm", "work", "work/home")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Readable by others, as a home may be."""
    home = Home(tmp_path / "home")
    home.create()
    for name in TRUSTED:
        place = home.root / name
        if place.suffix or name.startswith("agent.db"):
            place.touch(0o644)
        else:
            place.mkdir(exist_ok=True)
            place.chmod(0o755)
    home.root.chmod(0o755)
    return home


def test_what_others_may_read_alone_is_accepted(home: Home) -> None:
    check_closed(home)


@pytest.mark.parametrize("name", TRUSTED)
@pytest.mark.parametrize("bit", [0o020, 0o002])
def test_what_others_may_write_is_refused_with_what_mends_it(home: Home, name: str, bit: int) -> None:
    place = home.root / name
    mode = place.stat().st_mode & 0o777
    place.chmod(mode | bit)

    with pytest.raises(ConfigError) as refused:
        check_closed(home)

    said, _, mend = str(refused.value).rpartition("; ")
    assert said == f"others may write to {place}, and what they write runs as you"
    assert shlex.split(mend) == ["chmod", "go-w", str(place)]


def test_several_are_one_sentence(home: Home) -> None:
    home.config.chmod(0o666)
    home.tasks.chmod(0o777)

    with pytest.raises(ConfigError, match=r"afk\.toml and 1 more, .*; chmod go-w \S+/afk\.toml \S+/tasks$"):
        check_closed(home)


def test_what_python_made_of_a_task_file_is_looked_at_too(home: Home) -> None:
    """It is loaded in the file's place."""
    (home.tasks / "__pycache__").mkdir()
    (home.tasks / "__pycache__/mine.cpython-311.pyc").touch(0o644)
    check_closed(home)

    (home.tasks / "__pycache__/mine.cpython-311.pyc").chmod(0o666)

    with pytest.raises(ConfigError, match=r"mine\.cpython-311\.pyc"):
        check_closed(home)


@pytest.mark.parametrize("closed", [".", "tasks"])
def test_a_folder_that_nobody_else_enters_guards_what_is_in_it(home: Home, closed: str) -> None:
    """As where files are made for the group by default, and only the home's folder is not."""
    (home.tasks / "mine.py").chmod(0o666)
    (home.root / closed).chmod(0o700)

    check_closed(home)


def test_what_a_link_leads_to_elsewhere_is_guarded_by_itself_alone(home: Home, tmp_path: Path) -> None:
    home.root.chmod(0o700)
    shared = tmp_path / "shared.py"
    shared.touch()
    shared.chmod(0o666)
    (home.tasks / "link.py").symlink_to(shared)

    with pytest.raises(ConfigError, match=r"others may write to .*/tasks/link\.py, "):
        check_closed(home)


def test_inputs_outputs_and_logs_may_be_shared(home: Home) -> None:
    """An inbox is there to be written to; what is found in the others runs nowhere."""
    for folder in (home.inputs, home.outputs, home.logs, home.reports):
        folder.chmod(0o777)

    check_closed(home)


def test_task_files_that_others_may_write_are_not_loaded(home: Home) -> None:
    """Whoever asks: a verb that adds a job imports them as well."""
    mine = home.tasks / "mine.py"
    mine.write_text(f"open({str(home.root / 'ran')!r}, 'w')\n")
    mine.chmod(0o666)

    with pytest.raises(ConfigError, match="chmod go-w"):
        discover(home.tasks, zone=ZoneInfo("UTC"))

    assert not (home.root / "ran").exists()
