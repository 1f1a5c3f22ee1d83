"""Folders that a service may not open, whatever a terminal may: macOS refuses them without a question.

Where a supervisor has started the runner it has looked for itself, and what it found outweighs what is seen from here.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from runner.doctor.finding import Finding, fail, ok, warn
from runner.doctor.look import MAC, Look
from runner.errors import StoreError
from runner.reach import places, refused
from runner.store import controls
from runner.store.controls import Reach
from runner.store.db import open_reader
from runner.units import iso

_GUARDED = ("Desktop", "Documents", "Downloads", "Library/Mobile Documents", "Library/CloudStorage")
_VOLUMES = "/Volumes/"
_ALLOW = "System Settings, Privacy & Security, Full Disk Access; or move it"


def privacy(look: Look) -> Iterator[Finding]:
    """Each place the runner needs, as it found it itself; on a Mac also opened from here, and by where it is."""
    told = _told(look)
    sound = True
    for what, path in places(look.home, look.tasks).items():
        for finding in _one(look, what, path, told):
            sound = False
            yield finding
    if sound and look.platform == MAC:
        yield ok("privacy", "nothing the runner needs is in a folder that macOS guards from it")


def _one(look: Look, what: str, path: Path, told: Reach | None) -> Iterator[Finding]:
    known = told is not None and str(path) in told.places
    inside = told.places[str(path)] if told is not None and known else None
    if told is not None and inside is not None:
        text = (
            f"{what}, {path}, cannot be opened by the runner itself under its supervisor: {inside}, at {iso(told.at)}"
        )
        if look.platform == MAC:
            yield fail("privacy", text, f"{_ALLOW}; then {look.command('service restart')}")
        else:
            mend = f"see its owner, its mode and what the unit hides; then {look.command('service restart')}"
            yield fail("privacy", text, mend)
        return
    if look.platform != MAC:
        return
    real = Path(os.path.realpath(path))
    if why := refused(real):
        yield fail("privacy", f"{what}, {path}, cannot be opened: {why}", _ALLOW)
    elif not known and (guard := guarded(real, person=look.person)):
        text = f"{what}, {path}, is below {guard}: opened from here, but an agent of launchd is refused there"
        yield warn("privacy", text, "move it to a folder of your home directory that is not guarded")


def _told(look: Look) -> Reach | None:
    """What the last runner under a supervisor could open; None: none ever looked, or that cannot be read."""
    try:
        with closing(open_reader(look.home.db)) as db:
            return controls.reach(db)
    except (StoreError, sqlite3.Error):
        return None  # the database has its own finding


def guarded(real: Path, *, person: Path) -> Path | None:
    """The guarded folder a path is in."""
    home = Path(os.path.realpath(person))
    for folder in _GUARDED:
        if real.is_relative_to(home / folder):
            return home / folder
    return Path(*real.parts[:3]) if str(real).startswith(_VOLUMES) else None
