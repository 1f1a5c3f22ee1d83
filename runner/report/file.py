"""The report as a file: written whole or not at all, and a limited number kept."""

from __future__ import annotations

import os
import re
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from runner.errors import Refused

DAILY = re.compile(r"\d{4}-\d{2}-\d{2}\.md")


def check_place(path: Path) -> None:
    """Refuse a place that a file cannot take: no folder is there, or what stands there is a device, a pipe, a folder.

    Raises Refused.
    """
    if not path.parent.is_dir():
        raise Refused(f"there is no folder {path.parent}; make it first")
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise Refused(f"{path} is there already and is no regular file; name another one")


def write(path: Path, text: str) -> None:
    """Put the text in place of what is there, for its owner alone to read. Raises OSError; then nothing was changed."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise


def retain(folder: Path, *, keep: int) -> int:
    """Delete the oldest files of days beyond `keep`, and nothing else that lies there; how many went."""
    dated = sorted(path for path in folder.iterdir() if DAILY.fullmatch(path.name) and not path.is_dir())
    gone = dated[: max(0, len(dated) - keep)]
    for path in gone:
        path.unlink()
    return len(gone)
