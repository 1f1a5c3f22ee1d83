"""Before the work begins: a configuration that is accepted, the home's lock, and then the runner's whole life."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata

from runner.config import Config, TaskConfig
from runner.daemon import Daemon
from runner.errors import ConfigError, Exit, LockHeld
from runner.home import Home
from runner.lock import HomeLock
from runner.redact import Redactor
from runner.settings import load
from runner.standby import stand_by
from runner.store.db import Database
from runner.store.runners import Runner, RunState
from runner.units import Clock, SystemClock
from runner.work.declared import discover
from runner.work.processes import boot_id, keep_to_itself, start_time


def run(home: Home, *, once: bool, supervisor: str) -> int:
    """Run until asked to stop, or with `once` until nothing is due; the exit code.

    Raises RunnerError before anything is started.
    """
    os.umask(0o077)
    keep_to_itself()  # the keys are in it, and payload runs as the same user
    home.check()
    config, tasks = _configuration(home, supervisor=supervisor)
    database = Database.open(home.db)
    lock = HomeLock(home.lock)
    clock = SystemClock()
    try:
        if not lock.take():
            if once:
                raise LockHeld(f"another runner (pid {lock.holder()}) holds {home.root}; nothing was done")
            me = _myself(RunState.STANDBY, clock)
            if not asyncio.run(stand_by(database, lock, me, clock=clock, say=lambda text: _say(text, config))):
                return Exit.OK
            config, tasks = _configuration(home, supervisor=supervisor)  # it may be another day's by now
        daemon = Daemon(
            home,
            config,
            tasks,
            database,
            me=_myself(RunState.STARTING, clock),
            once=once,
            supervised=supervisor != "none",
            say=lambda text: _say(text, config),
            clock=clock,
        )
        return asyncio.run(daemon.run())
    finally:
        lock.close()


def _configuration(home: Home, *, supervisor: str) -> tuple[Config, Mapping[str, TaskConfig]]:
    """Everything declared. Under a supervisor that restarts every refusal for ever, wait for a better file instead."""
    while True:
        try:
            config = load(home.root, environ=os.environ)
            return config, {**config.tasks, **discover(home.tasks, zone=config.zone)}
        except ConfigError as error:
            if supervisor not in ("launchd", "fly"):
                raise
            sys.stderr.write(f"parked (refused), looking again when the file changes:\n{error}\n")
            _await_change(home)


def _await_change(home: Home) -> None:
    def look() -> list[tuple[str, int]]:
        found = []
        for path in (home.config, home.env, *sorted(home.tasks.glob("*.py"))):
            with suppress(OSError):
                found.append((str(path), path.stat().st_mtime_ns))
        return found

    before = look()
    while look() == before:
        time.sleep(1)  # nothing runs yet, and a signal ends this wait as it ends any process


def _myself(state: RunState, clock: Clock) -> Runner:
    """This process, as other programs see it."""
    now = clock.now()
    return Runner(
        id=f"{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(3)}",
        pid=os.getpid(),
        pid_started=start_time(os.getpid()) or "",
        boot=boot_id(),
        host=socket.gethostname(),
        version=_version(),
        state=state,
        reason=None,
        started_at=now,
        heartbeat_at=now,
        stop_seq=0,
        ended=None,
    )


def _version() -> str:
    try:
        return metadata.version("afk-console")
    except metadata.PackageNotFoundError:
        return "unknown"


def _say(text: str, config: Config) -> None:
    """A remark for whoever started us."""
    with suppress(OSError, ValueError):
        sys.stderr.write(f"{Redactor(config.secrets)(text)}\n")
        sys.stderr.flush()
