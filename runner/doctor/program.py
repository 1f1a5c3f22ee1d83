"""The program itself: an interpreter that is still there after an upgrade, and one install, not two."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from runner.doctor.finding import Finding, fail, ok, warn
from runner.doctor.look import Look
from runner.doctor.place import is_temporary

NAME = "afk-runner"
_INSTALL = "`uv tool install .` in a checkout of this program, then `afk-runner service install`"


def program(look: Look) -> Iterator[Finding]:
    """The interpreter of this process, and every `afk-runner` on the PATH."""
    yield from interpreter(Path(sys.prefix), Path(sys.executable))
    yield from _installs(look)


def interpreter(prefix: Path, executable: Path) -> Iterator[Finding]:
    """Whether the places of an installation outlive an upgrade, a clean-up and a reboot.

    `executable` is looked at as the service would start it, and where its links lead.
    """
    real = Path(os.path.realpath(executable))
    for path in dict.fromkeys((prefix, real)):
        trap = _trap(path)
        if trap:
            yield warn("program", f"{path} {trap[0]}; a service that starts it would be gone", trap[1])
            return
    if os.stat(real).st_mode & 0o022:
        yield fail("program", f"{real} can be replaced by others", f"chmod go-w {shlex.quote(str(real))}")
        return
    yield ok("program", f"Python at {executable} stays where it is")


def _trap(path: Path) -> tuple[str, str] | None:
    """What takes the path away, and what to do instead."""
    parts = path.parts
    if "Cellar" in parts:
        at = parts.index("Cellar")
        stable = Path(*parts[:at], "opt", *parts[at + 1 : at + 2])
        return f"is one version of Homebrew's, which the next `brew upgrade` removes ({stable} stays)", _INSTALL
    if any(part in ("archive-v0", "environments-v2", "builds-v0") for part in parts):
        return "is in uv's cache, which `uv cache clean` removes, as after uvx or uv run", _INSTALL
    if is_temporary(path):
        return "is in a folder for temporary files, which is emptied by itself", _INSTALL
    if "Trash" in parts or ".Trash" in parts:
        return "is in the bin", _INSTALL
    return None


def _installs(look: Look) -> Iterator[Finding]:
    found: dict[str, str] = {}
    for folder in look.environ.get("PATH", os.defpath).split(os.pathsep):
        path = os.path.join(folder, NAME)
        if folder and os.path.isfile(path) and os.access(path, os.X_OK):
            found.setdefault(os.path.realpath(path), path)
    ours = os.path.realpath(os.path.join(os.path.dirname(sys.executable), NAME))
    paths = list(found.values())
    if len(paths) > 1:
        text = f"there is more than one {NAME} on this PATH: {', '.join(paths)}; the first one is what you type"
        yield warn("program", text, "uninstall the one that no service starts")
    elif paths and ours not in found and os.path.exists(ours):
        text = f"{paths[0]} is what you type, and it is not this one, {ours}"
        yield warn("program", text, "uninstall one of them")
