"""The report as a file: written whole or not at all, and a limited number kept."""

from __future__ import annotations

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

DAILY = re.compile(r"\d{4}-\d{2}-\d{2}\.md")


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
