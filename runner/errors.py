"""What can go wrong, as one sentence for people and fields for code.

Every error names the exit code a command ends with; its docstring says what state it leaves.
"""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes scripts can trust; `run` and `status --check` have their own on top."""

    OK = 0
    REFUSED = 1
    """Nothing matched, or the act was refused; the sentence said why."""
    USAGE = 64
    INTERNAL = 70
    FILES = 74
    """The database or a file cannot be read or written."""
    BUSY = 75
    """`run --once` found another runner holding the home."""
    CONFIG = 78


class RunnerError(Exception):
    """The base of every refusal of ours. The message is one sentence that names what, where and the way out."""

    exit_code = Exit.REFUSED


class UsageError(RunnerError):
    """The caller's words are off. Nothing was changed."""

    exit_code = Exit.USAGE


class ConfigError(RunnerError):
    """`afk.toml`, `.env` or the home itself is refused. Nothing was started or changed."""

    exit_code = Exit.CONFIG


class StoreError(RunnerError):
    """The database cannot be used right now. The transaction was rolled back: nothing was recorded."""

    exit_code = Exit.FILES


class StoreBusy(StoreError):
    """Another process held the write lock for longer than we wait. Nothing was recorded; try again."""


class StoreFull(StoreError):
    """The disk is full. Nothing was recorded."""


class StoreReadOnly(StoreError):
    """The database or its folder cannot be written. Nothing was recorded."""


class StoreCorrupt(StoreError):
    """The file is not a sound SQLite database. It was left as it is."""


class StoreNewer(StoreError):
    """A newer program wrote this database. It was left as it is."""


class StoreOlder(StoreError):
    """An older program wrote this database. Who only reads leaves it so, and who writes while a runner holds it."""


class StoreMissing(StoreError):
    """There is no database where one is expected."""


class LeaseLost(RunnerError):
    """The job belongs to somebody else by now. The write changed nothing."""


class LockHeld(RunnerError):
    """Another runner holds this home. Nothing was started."""

    exit_code = Exit.BUSY


class NotFound(RunnerError):
    """No row has that name. Nothing was changed."""


class Refused(RunnerError):
    """The act does not fit the state things are in. Nothing was changed."""
