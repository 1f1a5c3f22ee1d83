"""Files an agent may see or make: a task's inputs to read, a folder of its own to write.

Both are jails. A path is walked from the home part by part with O_NOFOLLOW, so a link swapped in between a look and an
opening leads nowhere.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import stat
from contextlib import suppress
from pathlib import Path, PurePosixPath

MAX_FILE_BYTES = 5_000_000
"""Of a file that is read."""
MAX_WRITTEN_BYTES = 500_000
"""Of a file that is written."""
MOST_WRITTEN = 50
"""Files of one job."""
_OWN = re.compile(r"afk\.toml|STOP|agent\.db.*|runner\..*|guard\.lock")
"""Files of the home itself, which no pattern opens. Those with a leading dot are never opened either."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class NotReadable(Exception):
    """A file is not there, not a file, not text, or not in the jail. The message is one sentence."""


def names_matching(home: Path, pattern: str) -> list[str]:
    """Names below the home that a pattern matches, folders left out, in order. Opens nothing."""
    found = []
    for path in home.glob(pattern):
        name = path.relative_to(home)
        hidden = any(part.startswith(".") for part in name.parts)
        if not hidden and not (len(name.parts) == 1 and _OWN.fullmatch(name.name)) and not os.path.isdir(path):
            found.append(name.as_posix())
    return sorted(found)


def read_text(home: Path, name: str) -> str:
    """The text of a file below the home. Raises NotReadable."""
    try:
        fd = _open_below(home, PurePosixPath(name).parts)
    except OSError as error:
        link = error.errno in (errno.ELOOP, errno.ENOTDIR)
        why = "is a link or behind one; put the file itself there" if link else f"cannot be read: {error.strerror}"
        raise NotReadable(f"{name} {why}") from None
    with os.fdopen(fd, "rb") as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise NotReadable(f"{name} is not a file")
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise NotReadable(f"{name} has more than {MAX_FILE_BYTES:,} bytes")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotReadable(f"{name} is not text: {error.reason} at byte {error.start}") from None
    if "\0" in text:
        raise NotReadable(f"{name} is not text: it has a NUL character")
    return text


def _open_below(root: Path, parts: tuple[str, ...]) -> int:
    """Open a file for reading, no link followed on the way. Raises OSError."""
    if not parts or any(part in ("/", "..", "") for part in parts):
        raise FileNotFoundError(errno.ENOENT, "it is no path below the home")
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts[:-1]:
            below = os.open(part, _READ | os.O_DIRECTORY, dir_fd=folder)
            os.close(folder)
            folder = below
        return os.open(parts[-1], _READ | os.O_NONBLOCK, dir_fd=folder)  # a pipe must not hold us
    finally:
        os.close(folder)


class OutputFolder:
    """`outputs/<job key>/`, made with its first file."""

    def __init__(self, outputs: Path, key: str) -> None:
        self._outputs = outputs
        self.name = safe_name(key, folder=True)

    def write(self, name: str, text: str) -> None:
        """Write a file whole or not at all; one of that name is replaced. Raises NotReadable."""
        if not _NAME.fullmatch(name) or name.endswith(".part"):
            raise NotReadable(
                f"{name[:100]!r} is no name for a file here: up to 100 letters, digits, dots, dashes and underscores, "
                "beginning with a letter or a digit"
            )
        data = text.encode("utf-8", "replace")
        if len(data) > MAX_WRITTEN_BYTES:
            raise NotReadable(f"{name} would have {len(data):,} bytes, {MAX_WRITTEN_BYTES:,} are the most")
        try:
            self._write(name, data)
        except OSError as error:
            raise NotReadable(f"{name} cannot be written: {error.strerror}") from None

    def _write(self, name: str, data: bytes) -> None:
        above = os.open(self._outputs, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with suppress(FileExistsError):
                os.mkdir(self.name, 0o700, dir_fd=above)
            folder = os.open(self.name, _READ | os.O_DIRECTORY, dir_fd=above)
        finally:
            os.close(above)
        try:
            there = set(os.listdir(folder))
            if name not in there and len(there) >= MOST_WRITTEN:
                raise NotReadable(f"there are {len(there)} files already, which is the most")
            part = f".{secrets.token_hex(6)}.part"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                with os.fdopen(os.open(part, flags, 0o600, dir_fd=folder), "wb") as file:
                    file.write(data)
                os.replace(part, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with suppress(OSError):
                    os.unlink(part, dir_fd=folder)
                raise
        finally:
            os.close(folder)


def safe_name(key: str, *, folder: bool = False) -> str:
    """A job's key as the name of a file or a folder. Two keys never share one, nor do a file and a folder."""
    name = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in key)[:150]
    if name != key or name.startswith(".") or (folder and name.endswith((".md", ".part"))):
        name = f"{name.lstrip('.')}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
    return name
