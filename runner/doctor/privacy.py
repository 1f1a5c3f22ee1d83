"""Folders that macOS guards: a background program is refused there without a question, whatever a terminal may."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from runner.doctor.finding import Finding, fail, ok, warn
from runner.doctor.look import MAC, Look

_GUARDED = ("Desktop", "Documents", "Downloads", "Library/Mobile Documents", "Library/CloudStorage")
_VOLUMES = "/Volumes/"


def privacy(look: Look) -> Iterator[Finding]:
    """Each place the runner needs, opened for real; and whether one is guarded, for here we may be a terminal."""
    if look.platform != MAC:
        return
    places = {"the home": look.home.root, "Python": Path(sys.prefix)}
    places |= {f"the cwd of task {task.name}": task.cwd for task in look.tasks.values() if task.cwd is not None}
    sound = True
    for what, path in places.items():
        real = Path(os.path.realpath(path))
        refused = _refused(real)
        if refused:
            sound = False
            text = f"{what}, {path}, cannot be opened: {refused}"
            yield fail("privacy", text, "System Settings, Privacy & Security, Full Disk Access; or move it")
        elif guard := guarded(real, person=look.person):
            sound = False
            text = f"{what}, {path}, is below {guard}: opened from here, but an agent of launchd is refused there"
            yield warn("privacy", text, "move it to a folder of your home directory that is not guarded")
    if sound:
        yield ok("privacy", "nothing the runner needs is in a folder that macOS guards")


def guarded(real: Path, *, person: Path) -> Path | None:
    """The guarded folder a path is in."""
    home = Path(os.path.realpath(person))
    for folder in _GUARDED:
        if real.is_relative_to(home / folder):
            return home / folder
    return Path(*real.parts[:3]) if str(real).startswith(_VOLUMES) else None


def _refused(path: Path) -> str | None:
    """Why the folder, or the first file in it, cannot be opened; None: both can, or it is not there."""
    try:
        with os.scandir(path) as entries:
            file = next((entry.path for entry in entries if entry.is_file(follow_symlinks=False)), None)
        if file is not None:
            os.close(os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK))
    except (FileNotFoundError, NotADirectoryError):
        return None  # has a finding of its own
    except OSError as error:
        return error.strerror or str(error)
    return None
