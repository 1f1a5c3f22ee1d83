"""Calling the supervisors' own programs. What they say is kept whole: an exit code lost in a pipe is a lie later."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.errors import Refused
from runner.text import one_line

SLOWEST_S = 180.0
"""A program of the system that takes longer than its work does hangs."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a program answered."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """Its complaint, in one line."""
        lines = (line.strip() for line in (self.err or self.out).splitlines())
        return one_line("; ".join(line for line in lines if line), 300) or f"exit code {self.code}"


class NoSuchTool(Refused):
    """The program is not on this machine. Nothing was changed."""


def call(
    argv: Sequence[str], *, stdin: str | None = None, extra: Mapping[str, str] | None = None, works_s: float = 0
) -> Ran:
    """Run it to its end. `works_s`: what it waits for may take so long. Raises NoSuchTool, or Refused when it hangs."""
    within_s = SLOWEST_S + works_s
    if shutil.which(argv[0]) is None:
        raise NoSuchTool(f"there is no {argv[0]} on this machine; name another --platform")
    try:
        done = subprocess.run(
            list(argv),
            # Bytes that are no UTF-8 come back out as they went in: a crontab may hold any.
            input=None if stdin is None else stdin.encode("utf-8", "surrogateescape"),
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            env={**os.environ, "LC_ALL": "C", "LANGUAGE": "C", **(extra or {})},
            timeout=within_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Refused(f"`{' '.join(argv[:3])}` gave no answer in {within_s:.0f} s; nothing is known") from None
    except OSError as error:
        raise Refused(f"{argv[0]} cannot be run: {error.strerror}") from error
    out, err = (data.decode("utf-8", "surrogateescape") for data in (done.stdout, done.stderr))
    return Ran(done.returncode, out, err)


def write_file(path: Path, text: str, *, mode: int, owner: tuple[int, int] | None = None) -> None:
    """Put a file where it belongs, whole or not at all. Raises Refused."""
    new = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        new.unlink(missing_ok=True)
        with open(new, "x", encoding="utf-8", errors="surrogateescape") as file:
            os.fchmod(file.fileno(), mode)
            if owner is not None and os.geteuid() == 0:
                os.fchown(file.fileno(), *owner)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise Refused(f"{path} cannot be written: {error.strerror}") from error
