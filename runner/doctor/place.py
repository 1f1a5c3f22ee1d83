"""The home: whose it is, who may read it, and what kind of disk it is on."""

from __future__ import annotations

import os
import re
import shlex
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from runner.doctor.ask import ask
from runner.doctor.finding import Finding, fail, ok, warn
from runner.doctor.look import MAC, Look
from runner.errors import ConfigError
from runner.writable import closing, opened, trusted

_SYNCED = ("Dropbox", "OneDrive", "Google Drive", "GoogleDrive", "Nextcloud", "Mobile Documents", "CloudStorage")
_TEMPORARY = tuple(f"/{path}" for path in ("tmp", "var/tmp", "private/tmp", "private/var/tmp", "dev/shm"))
_TEMPORARY_MAC = ("/var/folders", "/private/var/folders")

# Source: mount(8) of macOS: "//who@server/share on /Volumes/share (smbfs, nodev, nosuid)"
_MOUNT = re.compile(r"^.* on (?P<point>/.*) \((?P<kind>\w+)[,)]", re.MULTILINE)
_NETWORK = ("nfs", "smbfs", "afpfs", "webdav", "osxfuse", "macfuse")
_NO_MODES = ("exfat", "msdos")


def place(look: Look) -> Iterator[Finding]:
    """The directory itself; a failure here hides all the rest."""
    home = look.home
    try:
        home.check()
    except ConfigError as error:
        yield fail("home", str(error), _mend(look))
        return
    mode = stat.S_IMODE(os.stat(home.root).st_mode)
    if mode & 0o077:
        text = f"{home.root} can be read by others; payloads, results and logs are in it"
        yield warn("home", text, f"chmod 700 {shlex.quote(str(home.root))}")
    else:
        yield ok("home", f"{home.root} is ours alone")


def _mend(look: Look) -> str:
    root = shlex.quote(str(look.home.root))
    try:
        status = os.stat(look.home.root)
    except OSError:
        return look.command("init")
    if status.st_uid != os.geteuid():  # as the root of a fresh volume, or a home that was made with sudo
        return f"sudo chown -R {os.geteuid()} {root}, or do it as its owner"
    return f"chmod 700 {root}" if status.st_mode & 0o022 else "move it to a folder on a disk of this machine"


def surroundings(look: Look) -> Iterator[Finding]:
    """Where it is, and the files in it that must not be another's."""
    real = Path(os.path.realpath(look.home.root))
    yield from _files(look)
    yield from _written(look, real)
    if is_temporary(real):
        text = f"{real} is in a folder for temporary files, which is emptied by itself"
        lasting = Path.home() / ".afk"
        if is_temporary(Path(os.path.realpath(lasting))):
            mend = "end the runner, and move it to a folder that stays"
        else:
            mend = f"end the runner, mv {shlex.quote(str(real))} ~/.afk"
        yield warn("home", text, mend)
    synced = [part for part in real.parts if part in _SYNCED or part.startswith("OneDrive - ")]
    if synced or any((parent / ".stfolder").exists() for parent in (real, *real.parents)):
        text = f"{real} is in a folder that is synchronised; a copy of a database in use is a damaged one"
        yield warn("home", text, "move the home to a folder that stays on this machine")
    if look.platform == MAC:
        yield from _volume(real)


def is_temporary(path: Path) -> bool:
    """Whether the system may empty the folder a path is in."""
    places = {*_TEMPORARY, *_TEMPORARY_MAC, os.path.realpath(tempfile.gettempdir())}
    return any(str(path).startswith(f"{folder}/") for folder in places)


def _files(look: Look) -> Iterator[Finding]:
    home = look.home
    for path in (home.config, home.env, home.db, home.lock, home.fifo, home.heartbeat):
        with suppress(OSError):
            status = os.lstat(path)
            if status.st_uid != os.geteuid():
                mend = f"sudo chown {os.geteuid()} {shlex.quote(str(path))}"
                yield fail("home", f"{path} belongs to somebody else (uid {status.st_uid})", mend)
            if stat.S_ISLNK(status.st_mode) and path in (home.db, home.lock):
                text = f"{path} is a link: another home may lead to the same file, and two runners would work on it"
                yield fail("home", text, f"end the runner, and put the file itself at {path}")
            elif path == home.db and stat.S_ISREG(status.st_mode) and status.st_mode & 0o077:
                yield warn("home", f"{path} can be read by others", f"chmod 600 {shlex.quote(str(path))}")


def _written(look: Look, real: Path) -> Iterator[Finding]:
    """What others may write in it, or where a link in it leads to."""
    home = look.home
    for path in opened(home.root, trusted(home)):
        target = Path(os.path.realpath(path))
        where = f"{path}" if target.is_relative_to(real) else f"{target}, where {path} leads"
        yield fail("home", f"others may write to {where}: what they write runs as you", closing(path))
    for path in opened(home.root, (home.logs, home.attempts, home.outputs, home.reports)):
        yield warn("home", f"others may write to {path}: what is found there may be theirs", closing(path))


def _volume(real: Path) -> Iterator[Finding]:
    """What the Mac says of the volume; on Linux the kernel's list of mounts was read already."""
    said = ask("mount")
    mounts = [(match["point"], match["kind"]) for match in _MOUNT.finditer(said.out)] if said else []
    inside = [(point, kind) for point, kind in mounts if point == "/" or real.is_relative_to(point)]
    point, kind = max(inside, key=lambda mount: len(mount[0]), default=("", ""))
    if kind in _NETWORK:
        text = f"{real} is on a network volume ({kind} at {point}), where the locks of the database do not hold"
        yield fail("home", text, "move the home to the disk of this machine")
    elif kind in _NO_MODES:
        text = f"{real} is on {kind} at {point}, which keeps neither owners nor modes: others can read the keys"
        yield fail("home", text, "move the home to the disk of this machine")
