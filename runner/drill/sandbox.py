"""A home that exists for one drill, with a real runner process on it. Nothing of it is left afterwards."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

from runner.commands import Door, JobRequest
from runner.drill.place import Place
from runner.drill.servers import Model, Receiver
from runner.errors import RunnerError, StoreBusy
from runner.settings import load
from runner.snapshot import Health, Reader, RunState, Vitals
from runner.store.db import Database
from runner.units import HOUR_MS, SystemClock, UnixMs
from runner.work.declared import discover

T = TypeVar("T")

STARTS_WITHIN_S = 30.0
WITHIN_S = 20.0
"""For what a runner does within a second unless the machine is very busy."""
ENDS_WITHIN_S = 15.0
_LOOK_EVERY_S = 0.02
HOLD = 11_000
"""Micro-dollars that are held for a call: ten tokens, and a tenth more that a region might cost."""
FAILURES = 3
"""In a row, that open the breaker."""
COST = 5_000
"""Micro-dollars an answer of five tokens costs."""

_TOML = """\
timezone = "{zone}"
[budget]
daily_usd = "{daily}"
[runner]
workers = 1
stop_grace = "200ms"
[retry]
max_attempts = {attempts}
base = "10ms"
cap = "20ms"
[breaker]
failures = {failures}
cooldown = "1s"
same_request = 0
[report]
at = "off"
[upstreams.drill]
url = "http://127.0.0.1:{model}"
[models]
"drill-*" = "drill"
[prices.drill-model]
input = "0"
output = "1000"
[tasks.call]
kind = "command"
command = {command}
"""
_ALERTS = """\
[alerts]
urls = ["json://127.0.0.1:{receiver}/"]
"""

# Makes as many calls as its payload says, one a moment, and tells how many were answered.
_CALL = """\
import http.client, json, os, sys, time
from pathlib import Path
from urllib.parse import urlsplit

order = json.load(sys.stdin)
if "pid" in order:
    mark = Path(order["pid"])
    if mark.exists():
        sys.exit(0)
    mark.write_text(str(os.getpid()))
    time.sleep(300)
line = http.client.HTTPConnection(urlsplit(os.environ["ANTHROPIC_BASE_URL"]).netloc, timeout=60)
for number in range(order["calls"]):
    asked = {"model": "drill-model", "max_tokens": 10, "messages": [{"role": "user", "content": f"Call {number}"}]}
    line.request("POST", "/v1/messages", json.dumps(asked), {"x-api-key": os.environ["ANTHROPIC_API_KEY"]})
    answer = line.getresponse()
    said = answer.read().decode()
    if answer.status != 200:
        print(answer.status, said[:300])
        sys.exit(75)
    time.sleep(order.get("pause_s", 0))
"""


class NotProven(RunnerError):
    """What was drilled did not do what it is there for. The sandbox is gone; the real home was not touched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What differs between the homes of two drills."""

    daily: str = "10.00"
    """Pretend dollars."""
    attempts: int = 4
    tells: bool = False
    """Whether somebody is told of alerts. What tells them takes a second of a core to load."""


class Sandbox:
    """One home below the system's directory for temporary files."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._runner: subprocess.Popen[bytes] | None = None
        self._to_end: list[int] = []

    def __enter__(self) -> Self:
        self._place = Place.make()
        self.home = self._place.home
        self.model, self.receiver = Model(), Receiver()
        try:
            self._furnish()
        except BaseException:
            self._clear()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clear()

    def _furnish(self) -> None:
        self.home.create()
        program = self.home.inputs / "call.py"
        program.write_text(_CALL, "utf-8")
        text = _TOML.format(
            zone=at_noon(SystemClock().now()),
            daily=self._settings.daily,
            attempts=self._settings.attempts,
            failures=FAILURES,
            model=self.model.port,
            command=json.dumps([sys.executable, "-IS", str(program)]),
        )
        if self._settings.tells:
            text += _ALERTS.format(receiver=self.receiver.port)
        self.home.config.write_text(text, "utf-8")
        Database.open(self.home.db, create=True).close()
        config = load(self.home.root, environ={})
        self._tasks = {**config.tasks, **discover(self.home.tasks, zone=config.zone)}
        self.door = Door(self.home)
        self.reader = Reader(self.home)

    def _clear(self) -> None:
        try:
            self._end_runner()
            for pid in self._to_end:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
        finally:
            for opened in ("reader", "door", "model", "receiver"):
                if hasattr(self, opened):
                    getattr(self, opened).close()
            self._place.remove()

    # --- acts -----------------------------------------------------------------------------------------------------

    def start(self) -> int:
        """Have a runner on the home; its pid. Raises NotProven when it does not come to work."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("AFK_")}
        with (self.home.logs / "drill.txt").open("ab") as output:
            self._runner = subprocess.Popen(
                [sys.executable, "-P", "-m", "runner.cli", "run", "--home", str(self.home.root)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env={**env, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"},
            )
        pid = self._runner.pid
        self.vitals(
            lambda seen: self._works(seen, pid), within_s=STARTS_WITHIN_S, what="a runner that works on the sandbox"
        )
        return pid

    def kill9(self) -> None:
        """End the runner as a power cut would: it gets to say nothing."""
        assert self._runner is not None
        self._runner.kill()
        self._runner.wait(ENDS_WITHIN_S)
        self._runner = None

    def queue(self, jobs: int, **payload: Any) -> list[str]:
        """Queue so many jobs that call the model; their keys."""
        wanted = [JobRequest(task="call", payload={"calls": 1, **payload}, again=True) for _ in range(jobs)]
        return [one.key for one in self.door.enqueue(self._tasks, wanted, max_attempts=self._settings.attempts)]

    def will_have_to_end(self, pid: int) -> None:
        """A process of a job: ended with the sandbox, should nobody else have done it."""
        self._to_end.append(pid)

    # --- looks ----------------------------------------------------------------------------------------------------

    def wait(self, look: Callable[[], T], *, what: str, within_s: float = WITHIN_S) -> T:
        """The first true answer. Raises NotProven naming `what` did not come."""
        until = time.monotonic() + within_s
        while True:
            with suppress(StoreBusy):  # somebody writes; the next look comes soon
                answer = look()
                if answer:
                    return answer
            if self._runner is not None and self._runner.poll() is not None:
                raise NotProven(f"the runner ended with exit code {self._runner.poll()}: {self._last_words()}")
            if time.monotonic() > until:
                raise NotProven(
                    f"{what} did not come within {within_s:.0f} s; its runner last said: {self._last_words()}"
                )
            time.sleep(_LOOK_EVERY_S)  # another process acts; there is nothing of ours to wait on

    def vitals(self, reached: Callable[[Vitals], bool], *, what: str, within_s: float = WITHIN_S) -> Vitals:
        """The board once it is so."""

        def look() -> Vitals | None:
            seen = self.reader.vitals(now=SystemClock().now())
            return seen if reached(seen) else None

        found = self.wait(look, what=what, within_s=within_s)
        assert found is not None
        return found

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """What the database holds, not what a screen makes of it."""
        with self.reader.reading() as db:
            return self._fetched(db, sql, values)

    @staticmethod
    def _fetched(db: sqlite3.Connection, sql: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        return db.execute(sql, values).fetchall()

    @staticmethod
    def _works(seen: Vitals, pid: int) -> bool:
        row = seen.runner.row
        live = seen.runner.health in (Health.LIVE, Health.LATE)
        return live and row is not None and row.pid == pid and row.state is RunState.RUNNING

    def _end_runner(self) -> None:
        if self._runner is None:
            return
        self._runner.terminate()
        try:
            self._runner.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._runner.kill()  # its workers end with it
            self._runner.wait()

    def _last_words(self) -> str:
        with suppress(OSError):
            said = (self.home.logs / "drill.txt").read_text("utf-8", "replace").strip().splitlines()
            return said[-1] if said else "nothing"
        return "nothing"


def at_noon(now: UnixMs) -> str:
    """A zone in which it is past noon: no day ends, and with it no cap lifts, in the middle of a drill."""
    ahead = 12 - now // HOUR_MS % 24
    return f"Etc/GMT{-ahead:+}" if ahead else "UTC"  # the names of these zones count the other way round


def alive(pid: int) -> bool:
    """Whether a process is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def must(true: bool, otherwise: str) -> None:
    """Raises NotProven."""
    if not true:
        raise NotProven(otherwise)
