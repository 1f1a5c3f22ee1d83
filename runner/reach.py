"""The places a runner needs besides its database, and whether this process may open them.

What a terminal may open, a service may not: macOS guards folders from background programs, and a unit of systemd may
hide some. So the runner looks for itself when a supervisor started it, and writes down what it found.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from runner.config import TaskConfig
from runner.home import Home


def places(home: Home, tasks: Mapping[str, TaskConfig]) -> dict[str, Path]:
    """What they are to whoever reads of them, and where."""
    folders = {f"the cwd of task {task.name}": task.cwd for task in tasks.values() if task.cwd is not None}
    return {"the home": home.root, "Python": Path(sys.prefix), **folders}


def refused(path: Path) -> str | None:
    """Why the folder cannot be opened; None: it can, or it is not there.

    No file in it is opened: to close one of the database's takes SQLite's locks from this process. May take for ever on
    a disk of another machine that is gone.
    """
    try:
        with os.scandir(path) as entries:
            next(entries, None)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return error.strerror or str(error)
    return None
