"""A home with a real runner process on it, driven as a person would, for the end-to-end tests."""

from __future__ import annotations

import atexit
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from runner.drill.sandbox import at_noon
from runner.errors import StoreBusy
from runner.store.db import Database
from runner.units import SystemClock
from tests.e2e.typed import Shell

T = TypeVar("T")

BIN = Path(sys.executable).parent
DEADLINE_S = 60.0
"""Longest wait for something that must come to be; a machine under load is slow, and a wait is no measurement."""


def eventually(look: Callable[[], T], *, within_s: float = DEADLINE_S, what: str = "") -> T:
    """The first true answer of `look`. Raises AssertionError with the last one when none came in time."""
    deadline = time.monotonic() + within_s
    while True:
        answer = look()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"never came to be: {what or look}; last answer {answer!r}")
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process lives (a zombie does not)."""
    return _state(pid) != "Z"


def _state(pid: int) -> str:
    """The letter the kernel has for it; `Z`, too, when it is gone altogether."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def noon() -> str:
    """A zone in which it is past noon, and the same day as in UTC: no day of it ends in the middle of a test."""
    return at_noon(SystemClock().now())


def _children(parent: int, module: bytes) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError):
            state, above = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            # After a fork and before its exec a child still has the name of its parent.
            if state != "Z" and int(above) == parent and module in (entry / "cmdline").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


@cache
def _shell() -> Shell:
    """One for all worlds of this process."""
    made = Shell()
    atexit.register(made.close)
    return made


class World:
    """One home. Everything it starts is ended with it."""

    def __init__(self, root: Path) -> None:
        self.home = root / "home"
        self.env = {**os.environ, "AFK_HOME": str(self.home)}
        self.env.pop("AFK_STOP", None)
        self.runs = [str(BIN / "afk-runner")]
        """What `start` starts."""
        self._runners: list[subprocess.Popen[bytes]] = []

    def init(self, toml: str, *, tasks: str = "") -> World:
        """Make the home with this `afk.toml` and task file. `timezone` and `daily_usd` are filled in if missing."""
        self.afk("init")
        (self.home / "inputs" / "welcome.md").unlink(missing_ok=True)
        head = "" if "timezone" in toml else 'timezone = "UTC"\n'
        tail = "" if "[budget]" in toml else '\n[budget]\ndaily_usd = "1.00"\n'
        (self.home / "afk.toml").write_text(head + toml + tail)
        if tasks:
            (self.home / "tasks" / "work.py").write_text(tasks)
        return self

    def afk(
        self, *words: str, stdin: str | None = None, code: int | None = 0, env: dict[str, str] | None = None
    ) -> str:
        """Run one `afk-runner` verb; its standard output. `code`: what it must exit with, None for any."""
        done = self.call(*words, stdin=stdin, env=env)
        if code is not None:
            assert done.returncode == code, f"{words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def call(
        self, *words: str, stdin: str | None = None, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """The same with everything it gave."""
        return _shell().run(words, stdin=stdin, env={**self.env, **(env or {})}, timeout=120)

    def json(self, *words: str, code: int | None = 0, stdin: str | None = None) -> Any:
        """Run a verb with `--json`; what it answered."""
        return json.loads(self.afk(*words, "--json", code=code, stdin=stdin))

    def start(self, *words: str, env: dict[str, str] | None = None, wait: bool = True) -> subprocess.Popen[bytes]:
        """Start `afk-runner run`; with `wait`, until it says that it runs or is parked."""
        log = (self.home / "stderr").open("ab")
        with log:
            runner = subprocess.Popen(
                [*self.runs, "run", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**self.env, **(env or {})},
                cwd="/",
                start_new_session=True,
            )
        self._runners.append(runner)
        if wait:
            eventually(lambda: self._says(runner.pid) in ("running", "parked"), what=f"runner {runner.pid} running")
        return runner

    def _says(self, pid: int) -> str | None:
        with suppress(sqlite3.Error):
            rows = self.sql("SELECT state FROM runners WHERE pid = ? AND ended IS NULL", pid)
            return rows[0][0] if rows else None
        return None

    def sql(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows of a query, read as a person with sqlite3 would."""
        with sqlite3.connect(f"file:{self.home / 'agent.db'}?mode=ro", uri=True, timeout=DEADLINE_S) as db:
            rows = db.execute(query, values).fetchall()
        db.close()
        return rows

    def one(self, query: str, *values: object) -> Any:
        """The first column of the first row."""
        return self.sql(query, *values)[0][0]

    def change(self, statement: str) -> None:
        """Change the database as a person with sqlite3 would."""
        with closing(sqlite3.connect(self.home / "agent.db", timeout=DEADLINE_S)) as db, db:
            db.execute(statement)

    def counts(self) -> dict[str, int]:
        """Jobs by status, counted from the rows."""
        return dict(self.sql("SELECT status, count(*) FROM jobs GROUP BY status"))

    def status(self) -> dict[str, Any]:
        """`status --json`."""
        return self.json("status")

    def workers(self, runner: subprocess.Popen[bytes]) -> list[int]:
        """Pids of a runner's worker processes."""
        return _children(runner.pid, b"runner.work.worker")

    def guards(self, runner: subprocess.Popen[bytes]) -> list[int]:
        """Pid of a runner's guard process."""
        return _children(runner.pid, b"runner.work.guard")

    def processes(self) -> list[int]:
        """Every living process that works for this home: it names the home or inherited it as working directory."""
        mark = str(self.home)
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid() or not alive(int(entry.name)):
                continue
            with suppress(OSError):
                words = (entry / "cmdline").read_bytes().decode("utf-8", "replace")
                if mark in words or os.readlink(entry / "cwd").startswith(mark):
                    found.append(int(entry.name))
        return found

    def kill9(self, runner: subprocess.Popen[bytes]) -> None:
        """SIGKILL a runner and wait until the kernel has it."""
        runner.send_signal(signal.SIGKILL)
        runner.wait()

    def freeze(self, runner: subprocess.Popen[bytes]) -> None:
        """SIGSTOP a runner, at a moment when it does not write: whoever else wants to could not before it goes on."""

        def stands() -> bool:
            runner.send_signal(signal.SIGSTOP)
            eventually(lambda: _state(runner.pid) in "TZ", what="it stands still")
            try:
                with closing(Database.open(self.home / "agent.db", wait_s=0.5)) as database, database.write(wait_s=0.5):
                    return True
            except StoreBusy:
                runner.send_signal(signal.SIGCONT)
                return False

        eventually(stands, what="frozen with its hands empty")

    def end(self) -> None:
        """End every runner of this world, and whatever it left."""
        for runner in self._runners:
            if runner.poll() is None:
                runner.send_signal(signal.SIGKILL)
            runner.wait()
        eventually(lambda: not self.processes(), what="no process left of this home")


@contextmanager
def world(root: Path) -> Iterator[World]:
    """A world that ends with the block."""
    made = World(root)
    try:
        yield made
    finally:
        made.end()
