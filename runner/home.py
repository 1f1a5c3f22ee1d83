"""The one directory that holds everything, and the file `init` puts there.

Every path of the program is absolute from here. Symbolic links are left as they were written, so that what a person
typed is what the sentences say.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from runner.errors import ConfigError
from runner.units import UnixMs

_FOLDERS = ("tasks", "inputs", "outputs", "logs", "logs/attempts", "work", "reports")
_FILES = (
    *("afk.toml", ".env", "STOP", "runner.lock", "guard.lock", "runner.fifo", "heartbeat"),
    *("starts.json", "starts.json.new", "service.json"),
    *("agent.db", "agent.db-wal", "agent.db-shm", "agent.db-journal", "agent.db-turn-a", "agent.db-turn-b"),
)
_STRAYS = ("lost+found", ".DS_Store")  # what a fresh volume holds by itself

# SQLite's locks and its shared memory do not hold across machines. 9p and virtiofs are left out: under a virtual
# machine they are how a container sees its own disk.
_NETWORK = re.compile(r"(fuse\.)?(nfs[234]?|cifs|smb\w*|sshfs|afs|glusterfs|ceph(-fuse)?)")


@dataclass(frozen=True)
class Home:
    """The places of one home. Making a value touches no disk.

    Each place is made once: joining paths was a sixth of what the runner itself did for a job.
    """

    root: Path
    """Absolute."""

    def __post_init__(self) -> None:
        if not self.root.is_absolute():
            raise ValueError(f"a home is an absolute path, not {self.root}")

    @classmethod
    def find(cls, option: Path | None, environ: Mapping[str, str]) -> Home:
        """The home a command means: `--home`, else `AFK_HOME`, else `~/.afk`. It need not exist."""
        named = str(option) if option is not None else environ.get("AFK_HOME") or "~/.afk"
        if named == "~" or named.startswith("~/"):
            # A shell expands ~; a unit file, a crontab and our own default do not.
            named = (environ.get("HOME") or os.path.expanduser("~")) + named[1:]
        return cls(Path(os.path.abspath(named)))

    @cached_property
    def config(self) -> Path:
        return self.root / "afk.toml"

    @cached_property
    def env(self) -> Path:
        return self.root / ".env"

    @cached_property
    def db(self) -> Path:
        return self.root / "agent.db"

    @cached_property
    def tasks(self) -> Path:
        return self.root / "tasks"

    @cached_property
    def inputs(self) -> Path:
        return self.root / "inputs"

    @cached_property
    def outputs(self) -> Path:
        return self.root / "outputs"

    @cached_property
    def logs(self) -> Path:
        return self.root / "logs"

    @cached_property
    def attempts(self) -> Path:
        """One file of raw output an attempt."""
        return self.logs / "attempts"

    def attempt_file(self, job_id: int, n: int) -> Path:
        """What the job's n-th start printed."""
        return self.attempts / f"{job_id}-{n}.log"

    @cached_property
    def reports(self) -> Path:
        """One Markdown file a morning."""
        return self.root / "reports"

    @cached_property
    def work(self) -> Path:
        """Where commands without a `cwd` run."""
        return self.root / "work"

    @cached_property
    def stop(self) -> Path:
        """The file whose mere presence stops everything; `stop_set` reads it."""
        return self.root / "STOP"

    @cached_property
    def lock(self) -> Path:
        return self.root / "runner.lock"

    @cached_property
    def guard_lock(self) -> Path:
        return self.root / "guard.lock"

    @cached_property
    def fifo(self) -> Path:
        return self.root / "runner.fifo"

    @cached_property
    def heartbeat(self) -> Path:
        return self.root / "heartbeat"

    @cached_property
    def starts(self) -> Path:
        return self.root / "starts.json"

    def declared_at(self) -> UnixMs:
        """When afk.toml or a file of tasks/ was changed last; a runner that was started before knows it as it was."""
        changed = 0.0
        for path in (self.config, *self.tasks.glob("*.py")):
            with suppress(OSError):  # what cannot be looked at has a finding of its own
                changed = max(changed, path.stat().st_mtime)
        return UnixMs(int(changed * 1000))

    def worked(self) -> bool:
        """Whether a runner has worked here, by what it leaves beside the database."""
        return os.path.lexists(self.fifo) or any(map(_entries, (self.attempts, self.outputs, self.reports)))

    def used(self) -> bool:
        """Whether a runner was here at all; one that was refused from the first leaves such things as well."""
        left = any(map(os.path.lexists, (self.heartbeat, self.starts)))
        return self.worked() or left or bool(_entries(self.logs) - {self.attempts.name})

    def check(self) -> None:
        """Raise ConfigError for a home that is missing, not ours, writable by others, or on a network file system."""
        try:
            status = os.stat(self.root)
        except (FileNotFoundError, NotADirectoryError):
            raise ConfigError(f"there is no home at {self.root}; `afk-runner init` makes one") from None
        except OSError as error:
            raise ConfigError(f"the home {self.root} cannot be read: {error.strerror}") from None
        self._check_owned(status)
        if status.st_mode & 0o022:
            raise ConfigError(f"others may write to the home {self.root}; chmod 700 it")
        check_filesystem(self.root)

    def create(self) -> None:
        """Make the home, 0700, and its folders; what stands already is kept.

        Raises ConfigError; a directory with somebody else's files was then left as it was.
        """
        try:
            if os.path.lexists(self.root):
                self._check_owned(os.stat(self.root))
                self._check_ours()
            check_filesystem(self.root)
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            if stat.S_IMODE(os.stat(self.root).st_mode) != 0o700:
                os.chmod(self.root, 0o700)
            for folder in _FOLDERS:
                (self.root / folder).mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            where = error.filename or self.root
            raise ConfigError(f"the home {self.root} cannot be made: {where}: {error.strerror}") from error

    def stop_set(self) -> bool:
        """Whether the STOP file is there. A dangling link, a directory and what cannot be looked at are all a stop."""
        try:
            os.lstat(self.stop)
        except OSError as error:
            return error.errno not in (errno.ENOENT, errno.ENOTDIR)
        return True

    def write_stop(self, text: str) -> None:
        """Make the STOP file. Raises OSError when there is none after it; its words are a courtesy."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(self.stop, flags, 0o600)
        try:
            with suppress(OSError):  # the file exists, which is what stops
                os.write(fd, text.encode("utf-8", "replace"))
        finally:
            os.close(fd)

    def _check_owned(self, status: os.stat_result) -> None:
        if not stat.S_ISDIR(status.st_mode):
            raise ConfigError(f"the home {self.root} is not a directory; `afk-runner init` makes one elsewhere")
        if status.st_uid != os.geteuid():
            raise ConfigError(f"the home {self.root} belongs to somebody else (uid {status.st_uid})")

    def _check_ours(self) -> None:
        """Refuse to move into a directory full of other things, such as a person's own home."""
        names = set(os.listdir(self.root))
        own = {*_FILES, *_STRAYS, *(folder.partition("/")[0] for folder in _FOLDERS)}
        foreign = sorted(names - own)
        if foreign and not names & {"afk.toml", "agent.db"}:
            raise ConfigError(f"{self.root} holds other files, such as {foreign[0]!r}; choose an empty directory")


def _entries(folder: Path) -> set[str]:
    with suppress(FileNotFoundError, NotADirectoryError):
        return set(os.listdir(folder))
    return set()


def check_filesystem(path: Path, *, mounts: Path = Path("/proc/self/mountinfo")) -> None:
    """Refuse a path on a network file system, where SQLite's locks do not hold. Raises ConfigError.

    Says nothing where the kernel lists no mounts, as on macOS. The path need not exist.
    """
    try:
        listing = mounts.read_text(errors="surrogateescape")
    except OSError:
        return
    target = os.path.realpath(path)
    found = ("", "")
    for line in listing.splitlines():
        # Source: proc(5): "... mount point, options, optional fields, -, type, source, ..."
        before, _, after = line.partition(" - ")
        fields, kind = before.split(" "), after.partition(" ")[0]
        if len(fields) < 5:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
        inside = point in ("/", target) or target.startswith(point + "/")
        # The longest point holds the path; of two mounts on one point the later hides the earlier.
        if inside and len(point) >= len(found[0]):
            found = (point, kind)
    point, kind = found
    if _NETWORK.fullmatch(kind):
        raise ConfigError(f"{path} is on a network file system ({kind} at {point}); choose a home on a local disk")


def init_text(zone_name: str) -> str:
    """The `afk.toml` that `init` writes: what an owner has to see, examples to uncomment, and one task that is free."""
    return _INIT.replace("@ZONE@", json.dumps(zone_name))


_INIT = """\
# The settings of this home. Money is a string of dollars, durations are strings such as "90s", "5m" and "6h".
# `afk-runner doctor` checks the file whole and names the line of whatever it does not understand.

timezone = @ZONE@  # of the cap's day, and of schedules without their own

[budget]
daily_usd = "1.00"    # the most a day may cost; "0" refuses every call that has a price
per_job_usd = "0.25"  # the most one job may cost in all its attempts
# hourly_usd = "0.50"
# rolling_24h_usd = "1.00"  # without it, the minutes around a midnight may cost the caps of two days
# monthly_usd = "20.00"
# alert_at = [50, 80, 100]  # percent of a cap at which you are told

[runner]
workers = 2
stop_grace = "20s"    # how long calls in flight may go on after a kill

[retry]
max_attempts = 4
base = "1s"
cap = "60s"

[breaker]
failures = 5          # in a row, until calls to an upstream's model stop; or half of ten and more in a minute
cooldown = "5m"
# usd_per_minute = "0.50"  # more than that, and the model that cost most is stopped until you say otherwise

# Where model calls go. A key is never written here: "env:NAME" is looked up in .env beside this file and then in the
# environment, "file:PATH" is a file that only you can read.

# [upstreams.anthropic]
# url = "https://api.anthropic.com"
# key = "env:ANTHROPIC_API_KEY"
# requests_per_minute = 50  # the jobs that come too soon wait for their turn
# tokens_per_minute = 200000

# [upstreams.ollama]
# url = "http://127.0.0.1:11434"
# local = true        # its models cost nothing

# Which upstream serves a model; the longest match wins. "offline/*" is built in, free, and needs no network.
# [models]
# "claude-*" = "anthropic"
# "qwen*" = "ollama"

# A task without schedule, every or at runs when it is asked to: afk-runner enqueue sample
[tasks.sample]
kind = "prompt"
model = "offline/extract"
prompt = "Pick out the lines that matter."
inputs = "inputs/*.md"

# [tasks.digest]
# kind = "prompt"
# model = "claude-haiku-4-5"
# prompt = "Summarise what changed, in ten lines."
# inputs = "inputs/*.md"
# schedule = "0 6 * * *"
# max_usd = "0.10"
# hours_saved = 0.5

# [tasks.review]
# kind = "command"
# command = ["claude", "-p", "Review yesterday's merges"]
# confine = "network"         # it can reach the gate and nothing else, or is not run (Linux, macOS)
# max_output_tokens = 8000    # of one call; what a call might cost is held back until it is over
# every = "6h"
# max_seconds = "30m"

# [report]
# hourly_rate = "60"  # what an hour is worth: hours_saved times this, less the cost, is what a task earned

# [alerts]
# urls = ["env:ALERT_WEBHOOK"]
"""
