"""What of a home others may write, and through it what runs as us or is believed: code, settings, the ledger.

A home that only its owner enters guards whatever is in it. One that others may read guards itself alone, so each file
and folder in it has to. As everywhere, a group is others.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import ConfigError

if TYPE_CHECKING:  # the child that loads tasks has no need of it
    from runner.home import Home

_WRITE, _ENTER = 0o022, 0o011


def check_closed(home: Home) -> None:
    """Raise ConfigError, one sentence for all of them, for what is code or as good as that and others may write."""
    found = opened(home.root, trusted(home))
    if found:
        raise ConfigError(sentence(found))


def trusted(home: Home) -> Iterator[Path]:
    """What decides what is run and paid. In `work` commands run, and `work/home` is their HOME with its settings.

    `.env` is not among them: it is refused already where others can read it.
    """
    yield home.config
    yield from task_code(home.tasks)
    yield home.db
    yield from (Path(f"{home.db}{end}") for end in ("-wal", "-shm", "-journal"))
    yield from (home.work, home.work / "home")


def task_code(folder: Path) -> Iterator[Path]:
    """A folder of tasks, its files, and what Python makes of them and loads in their place."""
    yield folder
    yield from sorted(folder.glob("*.py"))
    yield folder / "__pycache__"
    yield from sorted(folder.glob("__pycache__/*.pyc"))


def opened(root: Path, paths: Iterable[Path]) -> list[Path]:
    """Those that others may write and get to; a link is what it leads to. What is not there is nobody's to write."""
    real = Path(os.path.realpath(root))
    return [path for path in paths if _is_open(path, real)]


def sentence(found: Sequence[Path]) -> str:
    """What is said of some of them, with the command that mends it."""
    also = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return f"others may write to {found[0]}{also}, and what they write runs as you; {closing(*found)}"


def closing(*paths: Path) -> str:
    """The command that mends it."""
    return f"chmod go-w {shlex.join(map(str, paths))}"


def _is_open(path: Path, root: Path) -> bool:
    try:
        if not os.stat(path).st_mode & _WRITE:
            return False
        folder = Path(os.path.realpath(path)).parent
        if not folder.is_relative_to(root):
            return True  # whatever guards it there is not ours to know
        way = [folder, *folder.parents]
        return all(os.stat(each).st_mode & _ENTER for each in way[: way.index(root) + 1])
    except OSError:
        return False
