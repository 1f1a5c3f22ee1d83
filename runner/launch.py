"""Before the work begins: a home that is there, its lock, settings that are accepted; then the runner's whole life.

What cannot work is refused with an exit code, or, under a supervisor that starts again whatever ends, parks.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import metadata
from types import FrameType

from runner.config import Config, TaskConfig
from runner.errors import ConfigError, Exit, LockHeld, RunnerError, StoreError
from runner.home import Home
from runner.lock import HomeLock
from runner.parking import Parking, Reason, changes
from runner.redact import Redactor
from runner.sdnotify import Notifier
from runner.service import bootlog
from runner.settings import load
from runner.standby import stand_by
from runner.starts import UNCLEAN, WITHIN_MS, Starts
from runner.store.db import Database
from runner.store.runners import Runner, RunState
from runner.units import SystemClock, duration
from runner.work.declared import discover
from runner.work.processes import boot_id, keep_to_itself, start_time
from runner.writable import check_closed

ENDLESS = ("launchd", "fly")
"""Supervisors that start again, for ever, whatever ends with a fault."""
_Handler = Callable[[int, FrameType | None], None] | signal.Handlers
_Accepted = tuple[Config, Mapping[str, TaskConfig], Database]

AGAIN_S = 5.0
"""Until a home that is refused is looked at again: a disk may be mounted late."""
TRY_S = 15.0
"""Until settings or a database that are refused are tried again although no file of the home changed."""


def run(home: Home, *, once: bool, supervisor: str, quiet: bool = False) -> int:
    """Run until asked to stop, or with `once` until nothing is due; the exit code.

    `quiet`: no remark, and not a word of a lock that is held; for cron, which mails every word.
    Raises RunnerError for what is refused, and for a fault of ours, which its traceback on stderr explains.
    """
    os.umask(0o077)
    keep_to_itself()  # the keys are in it, and payload runs as the same user
    bootlog.begin(supervisor)
    launch = _Launch(home, once=once, supervisor=supervisor, quiet=quiet)
    try:
        return launch.run()
    except RunnerError:
        raise
    except Exception as error:
        traceback.print_exc()
        said = " ".join(str(error).split())[:300]
        raise RunnerError(
            f"the runner crashed, {type(error).__name__}: {said}; what it was doing stands above"
        ) from error


class _Launch:
    def __init__(self, home: Home, *, once: bool, supervisor: str, quiet: bool) -> None:
        self._home = home
        self._once = once
        self._quiet = quiet
        self._supervised = supervisor != "none"
        self._parks = supervisor in ENDLESS
        self._clock = SystemClock()
        self._notifier = Notifier()
        self._starts = Starts(home.starts)
        self._redact: Callable[[str], str] = str

    def run(self) -> int:
        self._listen(_leave)
        lock = self._await_home()
        try:
            # Whoever typed it is told of a refusal at once, also where another runner holds the home.
            accepted = None if self._supervised else self._accepted()
            if not lock.take():
                if self._once:
                    if self._quiet:
                        return Exit.BUSY
                    raise LockHeld(f"another runner (pid {lock.holder()}) holds {self._home.root}; nothing was done")
                me = self._myself(RunState.STANDBY)
                stand = stand_by(self._home, lock, me, notifier=self._notifier, clock=self._clock, say=self._say)
                if not asyncio.run(stand):
                    return Exit.OK
                self._listen(_leave)
                accepted = None  # what was declared may be another by now
            return self._counted() if self._supervised else self._live(accepted)
        finally:
            lock.close()

    def _await_home(self) -> HomeLock:
        """The lock of a home that can be used."""
        while True:
            try:
                self._home.check()
                return HomeLock(self._home.lock)
            except (ConfigError, StoreError) as error:
                if not self._parks:
                    raise
                self._say(f"parked (refused), looking again every {AGAIN_S:g}s: {error}")
                time.sleep(AGAIN_S)  # there is no place to say it in

    def _counted(self) -> int:
        """Live, with the guard against a crash loop."""
        self._starts.begin(now=self._clock.now())
        try:
            if self._starts.tripped_at() is not None:
                if not self._await_person():
                    self._starts.end_cleanly()
                    return Exit.OK
                self._starts.begin(now=self._clock.now())
            code = self._live()
        except (ConfigError, SystemExit):
            self._starts.end_cleanly()  # refused or asked to end, not crashed
            raise
        self._starts.end_cleanly()
        return code

    def _await_person(self) -> bool:
        """Too many starts went wrong: nothing is loaded until a person says so; False when asked to end."""
        text = (
            f"{UNCLEAN} starts within {duration(WITHIN_MS)} ended without being asked to; nothing is started until "
            "`afk-runner resume`; `afk-runner logs` and logs/ may show why"
        )
        over = lambda: self._starts.tripped_at() is None  # noqa: E731
        return self._park(Reason(word="breaker", alert="crashloop", text=text, over=over))

    def _live(self, accepted: _Accepted | None = None) -> int:
        """The life of a runner that holds the home."""
        while accepted is None:
            try:
                accepted = self._accepted()
            except (ConfigError, StoreError) as error:
                if not self._parks:
                    raise
                over = self._mended(changes(self._home))
                first, *more = str(error).splitlines()
                text = first + (f" (and {len(more)} more)" if more else "")
                text += "; it goes on by itself once that is mended"
                if more:
                    self._say(str(error))
                if not self._park(Reason(word="refused", alert="refused", text=text, over=over)):
                    return Exit.OK
        from runner.daemon import Daemon  # noqa: PLC0415 - what fails in here is a crash that was counted

        daemon = Daemon(
            self._home,
            *accepted,
            me=self._myself(RunState.STARTING),
            once=self._once,
            supervised=self._supervised,
            notifier=self._notifier,
            say=self._say,
            clock=self._clock,
        )
        code = asyncio.run(daemon.run())
        self._listen(signal.SIG_IGN)  # whoever is impatient now must not turn an orderly end into a death by a signal
        return code

    def _park(self, reason: Reason) -> bool:
        config = None  # whom to tell can mostly be read, whatever else is wrong
        with suppress(ConfigError):
            config = load(self._home.root, environ=os.environ)
            self._redact = Redactor(config.secrets)
        parking = Parking(
            self._home,
            reason,
            me=self._myself(RunState.PARKED),
            config=config,
            notifier=self._notifier,
            say=self._say,
            clock=self._clock,
        )
        over = asyncio.run(parking.stay())
        self._listen(_leave)
        return over

    def _mended(self, changed: Callable[[], bool]) -> Callable[[], bool]:
        """Whether it is worth another try: a file changed, or what lies elsewhere, as a secret does, is in order."""
        looked_at = time.monotonic()

        def over() -> bool:
            nonlocal looked_at
            if changed():
                return True
            if time.monotonic() - looked_at < TRY_S:
                return False
            try:
                self._accepted()[2].close()
            except (ConfigError, StoreError):
                looked_at = time.monotonic()
                return False
            return True

        return over

    def _accepted(self) -> _Accepted:
        """Everything declared, and the database. Raises ConfigError, StoreError."""
        check_closed(self._home)
        config = load(self._home.root, environ=os.environ)
        self._redact = Redactor(config.secrets)
        tasks = {**config.tasks, **discover(self._home.tasks, zone=config.zone)}
        return config, tasks, Database.open(self._home.db)

    def _listen(self, heard: _Handler) -> None:
        """Between two loops, each of which takes the signals for itself, a supervisor is heard as well."""
        if self._supervised:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, heard)

    def _myself(self, state: RunState) -> Runner:
        """This process, as other programs see it."""
        now = self._clock.now()
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

    def _say(self, text: str) -> None:
        """A remark for whoever started us."""
        if self._quiet:
            return
        with suppress(OSError, ValueError):
            sys.stderr.write(f"{self._redact(text)}\n")
            sys.stderr.flush()


def _leave(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - as signal calls it
    """Asked to end before there is a loop to hear it: that is no crash."""
    raise SystemExit(Exit.OK)


def _version() -> str:
    try:
        return metadata.version("afk-console")
    except metadata.PackageNotFoundError:
        return "unknown"
