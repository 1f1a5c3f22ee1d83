"""What is known of the machine and of the person whose service it is. Asked of the system, never of the environment."""

from __future__ import annotations

import os
import platform
import pwd
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from runner.home import Home

PROGRAM = "afk-runner"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where service files go, and as whom they run."""

    system: str
    """`Darwin` or `Linux`."""
    user: str
    uid: int
    gid: int
    user_home: Path
    euid: int
    """As whom this command acts; 0 may write the system's own folders."""
    program: Path
    """Our own console script, under the name that outlives an upgrade."""
    root: Path = Path("/")
    """The system's own folders are below it."""

    @classmethod
    def of(cls, home: Home) -> Machine:
        """This machine, for the owner of the home; for whoever asks where there is none yet."""
        try:
            uid = os.stat(home.root).st_uid
        except OSError:
            uid = os.geteuid()
        user, gid, user_home = _account(uid)
        return cls(
            system=platform.system(),
            user=user,
            uid=uid,
            gid=gid,
            user_home=user_home,
            euid=os.geteuid(),
            program=_program(user_home),
        )


def _account(uid: int) -> tuple[str, int, Path]:
    try:
        known = pwd.getpwuid(uid)
    except KeyError:  # a container gives out numbers that have no name
        return str(uid), os.getgid(), Path("/")
    return known.pw_name, known.pw_gid, Path(known.pw_dir)


def _program(user_home: Path) -> Path:
    """Links are kept: what they lead to moves with an upgrade, a shim of `uv tool install` and of brew stays."""
    own = Path(sys.executable).with_name(PROGRAM)
    for folder in (user_home / ".local/bin", Path("/opt/homebrew/bin"), Path("/usr/local/bin")):
        shim = folder / PROGRAM
        try:
            if os.path.samefile(shim, own):
                return shim
        except OSError:
            continue
    return own


@contextmanager
def as_owner(home: Home) -> Iterator[None]:
    """Read a home as the one it belongs to: what root makes in it, its owner could not use."""
    try:
        status = os.stat(home.root)
    except OSError:
        yield
        return
    if os.geteuid() != 0 or status.st_uid == 0:
        yield
        return
    group = os.getegid()
    os.setegid(status.st_gid)
    os.seteuid(status.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
