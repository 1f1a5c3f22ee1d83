"""Supervisors' programs that do nothing but note how they were called and give the answers a test wrote down."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from runner.home import Home
from runner.store import runners
from runner.store.runners import Runner, RunState
from runner.units import SystemClock
from runner.work.processes import boot_id, start_time

_SCRIPT = """\
#!/bin/sh
all="$*"
for word; do case "$word" in -*) ;; *) break ;; esac; done
(IFS="$(printf '\\037')"; printf '%s\\n' "$*") >> "$0.calls"
from="$0.answers/$all"
[ -d "$from" ] || from="$0.answers/$word"
[ -d "$from" ] || exit 0
set -- "$from"/*.code
read -r code < "$1"
cat "${1%code}out"
cat "${1%code}err" >&2
[ $# -eq 1 ] || rm "$1"
exit "$code"
"""

_CRONTAB = """\
#!/bin/sh
echo "$*" >> "$0.calls"
case "$1" in
-l) cat "$0.tab" 2>/dev/null || { echo "no crontab for ada" >&2; exit 1; } ;;
-r) rm "$0.tab" ;;
-) cat > "$0.tab" ;;
*) exit 64 ;;
esac
"""

Answer = tuple[int, str, str]


class Tool:
    """One program in a folder that is first on PATH."""

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / name
        self._path.write_text(_SCRIPT)
        self._path.chmod(self._path.stat().st_mode | stat.S_IXUSR)

    def answers(self, rules: Mapping[str, int | Answer | Sequence[int | Answer]]) -> None:
        """What it answers to a verb, or to whole arguments: in turn, the last one for ever. Else 0 and nothing."""
        for key, given in rules.items():
            listed = given if isinstance(given, list) else [given]
            folder = Path(f"{self._path}.answers") / key
            folder.mkdir(parents=True, exist_ok=True)
            for old in folder.glob("*.*"):
                old.unlink()
            for number, answer in enumerate(listed):
                code, out, err = (answer, "", "") if isinstance(answer, int) else answer
                for ending, text in (("code", f"{code}\n"), ("out", out), ("err", err)):
                    (folder / f"{number:02}.{ending}").write_text(text)

    @property
    def calls(self) -> list[list[str]]:
        """How it was called so far."""
        try:
            return [line.split("\x1f") for line in Path(f"{self._path}.calls").read_text().splitlines()]
        except FileNotFoundError:
            return []

    @property
    def verbs(self) -> list[str]:
        """The same, without what only looks."""
        words = (next(word for word in call if not word.startswith("--")) for call in self.calls)
        return [word for word in words if word not in ("print", "print-disabled", "show")]


class Crontab:
    """A crontab that keeps what it is given."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "crontab"
        self._path.write_text(_CRONTAB)
        self._path.chmod(self._path.stat().st_mode | stat.S_IXUSR)
        self._tab = folder / "crontab.tab"

    @property
    def text(self) -> str | None:
        return self._tab.read_bytes().decode("utf-8", "surrogateescape") if self._tab.exists() else None

    @text.setter
    def text(self, value: str) -> None:
        self._tab.write_bytes(value.encode("utf-8", "surrogateescape"))


class Stage:
    """A home on which runners appear and vanish: processes that hold the lock, and what they would have written."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self._processes: list[subprocess.Popen[bytes]] = []
        self._count = 0

    def enter(self, *, state: RunState = RunState.RUNNING, reason: str | None = None, words: Sequence[str] = ()) -> int:
        """A runner takes the home; its pid. `words`: what else its command line shows."""
        hold = (
            "import fcntl, os, sys; fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600); "
            "fcntl.flock(fd, fcntl.LOCK_EX); os.ftruncate(fd, 0); os.pwrite(fd, b'%d\\n' % os.getpid(), 0); "
            "print(flush=True); sys.stdin.read()"
        )
        process = subprocess.Popen(
            [sys.executable, "-IS", "-c", hold, str(self.home.lock), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        process.stdout.readline()
        self._processes.append(process)
        self.note(process.pid, state=state, reason=reason)
        return process.pid

    def note(self, pid: int, *, state: RunState, reason: str | None = None) -> None:
        """What the runner with this pid writes down."""
        self._count += 1
        now = SystemClock().now()
        row = Runner(
            id=f"r{self._count}",
            pid=pid,
            pid_started=start_time(pid) or "",
            boot=boot_id(),
            host="h",
            version="0.1.0",
            state=state,
            reason=reason,
            started_at=now,
            heartbeat_at=now,
            stop_seq=0,
            ended=None,
        )
        with closing(sqlite3.connect(self.home.db, isolation_level=None)) as db:
            runners.announce(db, row)

    def join(self) -> None:
        """Wait until every runner ended by itself."""
        for process in self._processes:
            process.wait()

    def leave(self) -> None:
        """Every runner ends."""
        for process in self._processes:
            process.kill()
            process.communicate()
        self._processes.clear()


class Slow:
    """Time that passes only when somebody waits for something, and what happens meanwhile."""

    def __init__(self) -> None:
        self.at = 0.0
        self.then: list[tuple[float, Callable[[], object]]] = []

    def after(self, seconds: float, act: Callable[[], object]) -> None:
        self.then.append((seconds, act))

    def sleep(self, seconds: float) -> None:
        self.at += seconds
        due = [act for when, act in self.then if when <= self.at]
        self.then = [(when, act) for when, act in self.then if when > self.at]
        for act in due:
            act()

    def now(self) -> float:
        return self.at
