"""One worker process as the runner sees it: started, handed an order, listened to, ended."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from typing import Any

from runner.home import Home
from runner.redact import Redactor
from runner.work.output import Capture
from runner.work.processes import LOOK_S, Tree

KILL_AFTER_S = 1.0
"""Between TERM and KILL."""
COLLECT_S = 0.05
"""How long the event loop waits for a killed process to be gone; later looks find it."""
GIVE_UP_S = 5.0
"""After KILL, until the process counts as one that cannot be ended."""
MAX_LINE = 8 * 1024 * 1024
"""Bytes of one answer; a worker that says more is broken."""


class Child:
    """A worker process. `heard` is called with each answer, and once with None when it is gone."""

    def __init__(
        self, *, home: Home, guard: Callable[[str], None], redactor: Redactor, heard: Callable[[Child, Any], None]
    ) -> None:
        """Start the process. `guard` is told `+PID` and `-PID`. Raises OSError."""
        self._loop = asyncio.get_running_loop()
        self._heard = heard
        self._guard = guard
        self._buffer = bytearray()
        self._gone = False
        self._give_up_at: float | None = None
        """Set once it was killed and hung up on: when it is given up though the system still shows it."""
        self._clogged = False
        """An order waits for room in the socket."""
        self._kill: asyncio.TimerHandle | None = None
        """The KILL, or the next look of it."""
        self._tree: Tree | None = None
        """Set with the KILL."""
        self._talks_nonsense = False
        self._asked: str | None = None
        """Names the order in progress. Only an answer that names it is heard: what an earlier attempt left running in
        the worker's process can write to the socket as well."""
        self.jobs_done = 0
        self.ready = False
        """It may be handed an attempt."""
        self.ending = False
        """It was told to end."""
        with ExitStack() as kept, ExitStack() as given:
            ours, theirs = socket.socketpair()
            kept.callback(ours.close)
            given.callback(theirs.close)
            alive_read, self._alive = os.pipe()
            kept.callback(os.close, self._alive)
            given.callback(os.close, alive_read)
            printed, prints = os.pipe()
            kept.callback(os.close, printed)
            given.callback(os.close, prints)
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "runner.work.worker",
                    str(theirs.fileno()),
                    str(alive_read),
                    str(home.tasks),
                ],
                stdin=subprocess.DEVNULL,
                stdout=prints,
                stderr=prints,
                pass_fds=(theirs.fileno(), alive_read),
                process_group=0,
                cwd=home.work,
                env=worker_environment(),
            )
            kept.pop_all()  # from here on `_left` closes them
        self.pid = self._process.pid
        guard(f"+{self.pid}")
        self.capture = Capture(printed, redactor)
        ours.setblocking(False)
        self._socket = ours
        self._loop.add_reader(ours.fileno(), self._readable)

    def order(self, words: Mapping[str, Any]) -> None:
        """Hand over an attempt. The worker must be idle."""
        self._asked = os.urandom(8).hex()
        self._unsent = json.dumps({**words, "order": self._asked}).encode() + b"\n"
        self._send()

    def _send(self) -> None:
        try:
            sent = self._socket.send(self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # it died: its end of the socket says so
        self._unsent = self._unsent[sent:]
        if self._unsent:
            self._loop.add_writer(self._socket.fileno(), self._send)
            self._clogged = True
        elif self._clogged:
            self._loop.remove_writer(self._socket.fileno())
            self._clogged = False

    def _readable(self) -> None:
        try:
            data = self._socket.recv(262_144)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data or len(self._buffer) > MAX_LINE:
            self._talks_nonsense = bool(data)
            self._left()
            return
        self._buffer += data
        while (end := self._buffer.find(b"\n")) >= 0:
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            answer = _parse(line)
            if answer is None:
                self._talks_nonsense = True
                self._left()
                return
            if "ready" in answer:
                self.ready = not self.ending
            elif answer.get("order") != self._asked:
                continue
            else:
                self._asked = None
            self._heard(self, answer)
            if self.ending:  # the KILL that is on its way must not meet it in another attempt
                self._left()
                return

    def look(self) -> None:
        """Notice a process that ended while something else holds its socket open, or that was slow to end."""
        if self._gone or self._process.poll() is None:
            if not self._gone and self._give_up_at is not None and self._loop.time() >= self._give_up_at:
                self._finish()
        elif self._give_up_at is None:
            self._left()
        else:
            self._finish()

    def _left(self) -> None:
        """The worker is gone, or talks nonsense: nothing of it may live on."""
        if self._gone or self._give_up_at is not None:
            return
        self._give_up_at = self._loop.time() + GIVE_UP_S
        try:
            over = self._look_at_tree()  # it is frozen at least: a hang-up would make it end itself first
            self._hang_up()
        except BaseException:
            self._finish()
            raise
        if self.ready and not over:
            self.ready, self.ending = False, True
        if over:
            self._collect()

    def _fell(self) -> None:
        """KILL it with all below it, and once that is done collect it."""
        if self._look_at_tree() and self._give_up_at is not None:
            self._collect()

    def _look_at_tree(self) -> bool:
        """One look, with others after it until it is over; the loop turns in between."""
        if self._kill is not None:
            self._kill.cancel()
        if self._tree is None:
            self._tree = Tree(self.pid)
        over = self._tree.end()
        if not over:
            self._kill = self._loop.call_later(LOOK_S, self._fell)
        return over

    def _collect(self) -> None:
        try:
            self._process.wait(timeout=COLLECT_S)
        except subprocess.TimeoutExpired:
            if self.ready:
                self.ready, self.ending = False, True  # no attempt for it, while `look` waits for its end
        except BaseException:
            self._finish()
            raise
        else:
            self._finish()

    def _hang_up(self) -> None:
        with suppress(OSError):
            self._loop.remove_reader(self._socket.fileno())
            self._loop.remove_writer(self._socket.fileno())
        self._socket.close()
        os.close(self._alive)

    def _finish(self) -> None:
        """Tell, once, that it is gone."""
        if self._gone:
            return
        self._gone = True
        if self._kill is not None:
            self._kill.cancel()
        try:
            self._guard(f"-{self.pid}")
        finally:
            try:
                self._heard(self, None)
            finally:
                self.capture.close()

    @property
    def ended_by(self) -> str:
        """How the process ended, in words."""
        code = self._process.returncode
        if code is None:
            return "it could not be ended"
        if self._talks_nonsense:
            return "ended by the runner: what it sent is no answer"
        if code < 0:
            with suppress(ValueError):
                return f"killed by {signal.Signals(-code).name}"
        return f"exit code {code}"

    def end(self, *, at_once: bool) -> None:
        """End the process with its group and descendants: TERM first and KILL a second later, or KILL at once."""
        if self._gone:
            return
        self.ready, self.ending = False, True
        if at_once:
            self._fell()
            return
        if self._kill is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGTERM)
            self._kill = self._loop.call_later(KILL_AFTER_S, self._fell)

    def retire(self) -> None:
        """Let an idle worker go: it ends when its socket closes."""
        self.ready = False
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)


def worker_environment() -> dict[str, str]:
    """What a worker, and so a Python task, is given of our environment: no key, no token, no proxy.

    HOME is the owner's, for such a task is the owner's own code and reads the owner's mail and files. The agents that
    it starts are led to the gate by their own names (`agents.addresses`) and find no login there.
    """
    kept = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "HOME", "TMPDIR", "TZ", "USER", "LOGNAME", "SHELL")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"PYTHONUNBUFFERED": "1"}


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(line.decode())  # bytes of any encoding cost it as much again
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None
