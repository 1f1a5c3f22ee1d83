"""A backup: the database of a live home as one file, and a page beside it that says what it is.

Settings, `.env`, tasks, inputs and outputs are not in it, and no secret is: the database never holds one.
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import json
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.care.copying import Progress, copy, digest, forget, sync_folder, verify
from runner.errors import Refused, StoreError
from runner.home import Home
from runner.store.db import open_reader, schema_version
from runner.units import UnixMs, iso

NOT_INSIDE = ("afk.toml", ".env", "tasks/", "inputs/", "outputs/", "logs/")
_DATED = re.compile(r"agent-([0-9]{8}T[0-9]{6}Z)(?:-([0-9]+))?\.db")


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A backup that was put in place."""

    path: Path
    page: Path
    """The JSON file that says what it is."""
    bytes: int
    schema: int
    jobs: int
    removed: tuple[Path, ...]
    """Older ones of the same folder that were let go of."""
    same_volume: bool
    """It is on the home's own volume, and would be lost with it."""


def backup(
    home: Home,
    dest: Path,
    *,
    force: bool,
    keep: int | None,
    now: UnixMs,
    version: str,
    progress: Progress,
    folder: bool = False,
) -> Backup:
    """Copy the database of a home, check the copy, and put it in place whole or not at all.

    `dest`: a file, or a folder in which it gets a dated name; one that is not there is made if `folder` or `keep` says
    that it is one, or its name has no suffix. `keep`: how many dated ones that folder keeps.
    Raises Refused, StoreError; what stood at `dest` is then untouched.
    """
    into_folder = _folder(dest, meant=folder or keep is not None)
    path = _free(dest, now) if into_folder else dest
    _check_place(home, path, force=force)
    with closing(open_reader(home.db, older_too=True)) as source, _part(path) as (part, fd):
        if into_folder:
            path = _free(dest, now)  # another one may have taken the name until it was our turn
        copy(source, part, progress=progress)
        verify(part)
        os.fchmod(fd, 0o600)
        os.fsync(fd)
        schema = schema_version(source)
        page = _page(home, part, now=now, version=version, schema=schema)
        said = path.with_name(path.name + ".json")
        with suppress(FileNotFoundError):
            if force:
                said.unlink()  # between the two renames it would tell of another file
        _put(part, path, force=force)
    _write_page(said, page)
    sync_folder(path.parent)
    return Backup(
        path=path,
        page=said,
        bytes=page["bytes"],
        schema=schema,
        jobs=page["jobs"],
        removed=_let_go(path.parent, keep) if keep is not None else (),
        same_volume=os.stat(path).st_dev == os.stat(home.root).st_dev,
    )


def _free(folder: Path, now: UnixMs) -> Path:
    """The dated name; of a second backup within the same second it ends in -2."""
    dated = f"agent-{re.sub('[-:]', '', (iso(now) or '')[:19])}Z"
    names = itertools.chain((f"{dated}.db",), (f"{dated}-{n}.db" for n in itertools.count(2)))
    return next(folder / name for name in names if not os.path.lexists(folder / name))


def _age(path: Path) -> tuple[str, int]:
    """By which dated backups sort: those of one second by their number."""
    dated = _DATED.fullmatch(path.name)
    return (dated[1], int(dated[2] or 1)) if dated else ("", 0)


def _folder(dest: Path, *, meant: bool) -> bool:
    """Whether a dated backup goes into it; made where it is missing, but nothing above it: a disk may be away."""
    if dest.is_dir():
        return True
    if os.path.lexists(dest):
        if meant:
            raise Refused(f"{dest} is no folder; --keep and a slash at the end want one")
        return False
    if not meant and dest.suffix:
        return False
    if not dest.parent.is_dir():
        raise Refused(f"there is no folder {dest.parent}; make it first")
    try:
        dest.mkdir(0o700)
    except OSError as error:
        raise StoreError(f"{dest} cannot be made: {error.strerror}") from error
    return True


def _check_place(home: Home, path: Path, *, force: bool) -> None:
    if not path.parent.is_dir():
        raise Refused(f"there is no folder {path.parent}; make it first")
    inside = path.parent.samefile(home.root) if home.root.is_dir() else False
    if inside and path.name.startswith(home.db.name):
        raise Refused(f"{path} is the place of the database itself; name another one")
    if os.path.lexists(path) and not force:
        raise Refused(f"{path} is there already; --force replaces it")


@contextmanager
def _part(path: Path) -> Iterator[tuple[Path, int]]:
    """An empty file beside the place it will have, ours alone; gone when the body ends, if it is still there.

    Its name is always the same, so that what a killed backup left is not left for ever.
    """
    part = path.with_name(".agent-backup.part")
    try:
        stale = _locked(part, os.O_CREAT)
        forget(part)  # never written into: it may be another name of a backup that was put in place
        os.close(stale)
        fd = _locked(part, os.O_CREAT | os.O_EXCL)
    except (BlockingIOError, FileExistsError):
        raise Refused(f"another backup to {path.parent} is under way") from None
    except OSError as error:
        raise StoreError(f"{path.parent} cannot be written: {error.strerror}") from error
    try:
        yield part, fd
    except OSError as error:
        raise StoreError(f"the backup to {path.parent} failed: {error.strerror}") from error
    finally:
        forget(part)
        os.close(fd)  # not before SQLite has let go of the file: closing it would drop its locks


def _locked(part: Path, flags: int) -> int:
    fd = os.open(part, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | flags, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise
    return fd


def _put(part: Path, path: Path, *, force: bool) -> None:
    if force:
        os.replace(part, path)
        return
    try:
        os.link(part, path)  # unlike a rename it fails where somebody was quicker
    except FileExistsError:
        raise Refused(f"{path} is there already; --force replaces it") from None
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise
        os.rename(part, path)  # a file system without links


def _page(home: Home, part: Path, *, now: UnixMs, version: str, schema: int) -> dict[str, Any]:
    copied = sqlite3.connect(f"{part.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
    with closing(copied):
        jobs = copied.execute("SELECT pending + running + done + halted + cancelled + dead FROM board").fetchone()[0]
    return {
        "what": "a backup of an afk-runner database; `afk-runner restore FILE` goes back to it",
        "made_at": iso(now),
        "home": str(home.root),
        "version": version,
        "schema": schema,
        "jobs": jobs,
        "bytes": part.stat().st_size,
        "sha256": digest(part),
        "not_inside": list(NOT_INSIDE),
    }


def _write_page(path: Path, page: dict[str, Any]) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with open(fd, "w", encoding="utf-8") as file:
            json.dump(page, file, indent=2)
            file.write("\n")
    except OSError as error:
        raise StoreError(f"the backup is in place and sound, but {path} was not written: {error.strerror}") from error


def page_of(path: Path) -> dict[str, Any] | None:
    """What the page beside a backup says; None: there is none that can be read."""
    with suppress(OSError, ValueError):
        page = json.loads(path.with_name(path.name + ".json").read_text("utf-8"))
        if isinstance(page, dict):
            return page
    return None


def _let_go(folder: Path, keep: int) -> tuple[Path, ...]:
    """Delete the oldest dated backups of a folder beyond `keep`; nothing that has another name."""
    dated = sorted((path for path in folder.iterdir() if _DATED.fullmatch(path.name) and path.is_file()), key=_age)
    gone = []
    for path in dated[: max(0, len(dated) - keep)]:
        with suppress(OSError):
            path.unlink()
            gone.append(path)
            path.with_name(path.name + ".json").unlink()
    return tuple(gone)
