"""What attempts printed: one file each, kept up to an age, a number and a size."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from runner.units import UnixMs

MOST_FILES = 5_000
_OURS = re.compile(r"([0-9]+)-[0-9]+\.log")


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """The file of one attempt."""

    path: Path
    job: int
    """Id of its job."""
    changed_at: UnixMs
    size: int


def outputs(folder: Path) -> list[Output]:
    """All of a folder, the oldest first. What is not ours is left out."""
    found = []
    with suppress(OSError):
        for path in folder.iterdir():
            ours = _OURS.fullmatch(path.name)
            with suppress(OSError):  # a person may tidy up at the same time
                if ours is not None:
                    told = path.stat()
                    at = UnixMs(told.st_mtime_ns // 1_000_000)
                    found.append(Output(path=path, job=int(ours[1]), changed_at=at, size=told.st_size))
    return sorted(found, key=lambda output: (output.changed_at, output.path.name))


def too_many(
    found: list[Output], *, before: UnixMs, most_bytes: int, protected: set[int], most_files: int = MOST_FILES
) -> list[Output]:
    """Which of them go, the oldest first: those that are old, and as many as are needed to be within the limits.

    `protected`: ids of jobs of which nothing goes, so that a limit may not be reached.
    """
    size, number = sum(output.size for output in found), len(found)
    gone = []
    for output in found:
        over = size > most_bytes or number > most_files
        if output.job not in protected and (over or output.changed_at < before):
            gone.append(output)
            size -= output.size
            number -= 1
    return gone


def delete(gone: list[Output]) -> int:
    """Delete them; how many could be."""
    done = 0
    for output in gone:
        with suppress(OSError):
            output.path.unlink()
            done += 1
    return done
