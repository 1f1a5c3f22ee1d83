"""A small launchd: it reads the job's own property list and does what launchd is documented and seen to do with it.

KeepAlive as a dictionary, the throttle, an asynchronous bootout, the sweep of the process group, 78 for a folder that
is missing, and the store of what was turned off. Time is short: a throttle of 30 s passes in `scale` times that.

A job that ends without success comes back at its start plus the throttle. One that ended well stays down. Sessions come
and go only when a test says so.
"""

from __future__ import annotations

import json
import os
import plistlib
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.runner.service.test_plist import KEYS

_LAUNCHCTL = """\
#!{python} -IS
import json, socket, sys
link = socket.socket(socket.AF_UNIX)
link.connect({address!r})
link.sendall(json.dumps(sys.argv[1:]).encode() + b"\\n")
code, out, err = json.loads(link.makefile().read())
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(code)
"""
_LOOK_S = 0.02
Reply = tuple[int, str, str]


@dataclass
class Job:
    """One loaded job."""

    plist: dict[str, Any]
    process: subprocess.Popen[bytes] | None = None
    starts: list[float] = field(default_factory=list)
    last_exit: int | None = None
    last_signal: int | None = None
    due: float | None = None
    """When it is started next; None: not by itself."""
    leaving_since: float | None = None
    """It was booted out and is not gone yet."""


class MiniLaunchd:
    """The stand-in, with its own `launchctl` in a folder. Everything it started ends with it."""

    def __init__(self, folder: Path, *, scale: float = 0.02, linger_s: float = 0.3) -> None:
        self.jobs: dict[str, Job] = {}
        self.turned_off: set[str] = set()
        self.sessions = {f"gui/{os.geteuid()}", f"user/{os.geteuid()}", "system"}
        self.calls: list[list[str]] = []
        self.answered: list[tuple[str, int]] = []
        self._scale, self._linger_s = scale, linger_s
        self._lock = threading.RLock()
        self._ended = threading.Event()
        address = str(folder / "launchd.sock")
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(address)
        self._socket.listen()
        self._socket.settimeout(0.1)
        tool = folder / "launchctl"
        tool.write_text(_LAUNCHCTL.format(python=sys.executable, address=address))
        tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._serve, self._watch)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End it and all it started."""
        self._ended.set()
        for thread in self._threads:
            thread.join()
        self._socket.close()
        for job in self.jobs.values():
            if job.process is not None:
                self._sweep(job.process.pid)
                job.process.wait()

    def job(self, label: str) -> Job:
        with self._lock:
            return self.jobs[label]

    # --- what launchd does by itself ------------------------------------------------------------------------------

    def _watch(self) -> None:
        while not self._ended.wait(_LOOK_S):
            with self._lock:
                for label, job in list(self.jobs.items()):
                    self._look(label, job, time.monotonic())

    def _look(self, label: str, job: Job, now: float) -> None:
        if job.process is not None and (code := job.process.poll()) is not None:
            self._sweep(job.process.pid)
            job.last_exit, job.last_signal = (code, None) if code >= 0 else (None, -code)
            job.due = self._again_at(job) if self._wants_again(job.plist, code) else None
            job.process = None  # last: a test that sees no process sees how it ended
        if job.leaving_since is not None:
            limit = job.plist.get("ExitTimeOut", 20)
            if job.process is not None:
                if limit and now - job.leaving_since > limit:
                    job.process.kill()
            elif now - job.leaving_since > self._linger_s:
                del self.jobs[label]
            return
        if job.process is None and job.due is not None and now >= job.due:
            self._start(job)

    def _wants_again(self, plist: dict[str, Any], code: int) -> bool:
        keep = plist.get("KeepAlive", False)
        if isinstance(keep, dict):
            return bool(keep["SuccessfulExit"]) is (code == 0)
        return bool(keep)

    def _again_at(self, job: Job) -> float:
        return job.starts[-1] + job.plist.get("ThrottleInterval", 10) * self._scale

    def _start(self, job: Job) -> None:
        plist = job.plist
        job.starts.append(time.monotonic())
        job.due = None
        try:
            with open(plist["StandardErrorPath"], "ab") as log:
                job.process = subprocess.Popen(
                    plist["ProgramArguments"],
                    cwd=plist["WorkingDirectory"],
                    env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", **plist["EnvironmentVariables"]},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    umask=plist["Umask"],
                    start_new_session=True,
                )
        except OSError:
            job.last_exit, job.last_signal = 78, None  # EX_CONFIG, as launchd says of paths it cannot open
            job.due = self._again_at(job)

    def _sweep(self, group: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)

    # --- what launchctl asks of it --------------------------------------------------------------------------------

    def _serve(self) -> None:
        while not self._ended.is_set():
            try:
                link, _ = self._socket.accept()
            except TimeoutError:
                continue
            with link:
                words = json.loads(link.makefile().readline())
                with self._lock:
                    self.calls.append(words)
                    reply = self._answer(words)
                    self.answered.append((words[0], reply[0]))
                link.sendall(json.dumps(reply).encode())

    def _answer(self, words: list[str]) -> Reply:
        verbs: dict[str, Callable[..., Reply]] = {
            "bootstrap": self._bootstrap,
            "bootout": self._bootout,
            "print": self._print,
            "print-disabled": self._print_disabled,
            "enable": self._enable,
            "disable": self._disable,
            "kickstart": self._kickstart,
            "kill": self._kill,
        }
        return verbs[words[0]](*words[1:]) if words[0] in verbs else (64, "", f"unknown subcommand {words[0]}")

    def _bootstrap(self, domain: str, path: str) -> Reply:
        if domain not in self.sessions:
            return (125, "", "Domain does not support specified action")
        plist = plistlib.loads(Path(path).read_bytes())
        assert plist.keys() <= KEYS.keys()
        label = plist["Label"]
        if f"{domain}/{label}" in self.turned_off:
            return (119, "", "Service is disabled")
        if label in self.jobs:
            return (37 if len(self.answered) % 2 else 5, "", "Operation already in progress")
        self.jobs[label] = Job(plist, due=time.monotonic() if plist.get("RunAtLoad") else None)
        return (0, "", "")

    def _bootout(self, target: str) -> Reply:
        job = self._find(target)
        if job is None:
            return (3, "", "No such process")
        job.leaving_since = time.monotonic()
        if job.process is not None:
            job.process.terminate()
        return (0, "", "")

    def _print(self, target: str) -> Reply:
        if target.count("/") < 2:
            return (0, f"{target} = {{\n}}\n", "") if target in self.sessions else (112, "", "Could not find domain")
        job = self._find(target)
        if job is None:
            return (113, "", "Could not find service in domain")
        state = "running" if job.process else "spawn scheduled" if job.due is not None else "not running"
        lines = [
            f"state = {state}",
            *([f"pid = {job.process.pid}"] if job.process else []),
            f"runs = {len(job.starts)}",
        ]
        if job.last_signal is not None:
            lines.append(f"last terminating signal = {signal.Signals(job.last_signal).name}")
        else:
            lines.append(f"last exit code = {'(never exited)' if job.last_exit is None else job.last_exit}")
        return (0, "".join([f"{target} = {{\n", *(f"\t{line}\n" for line in lines), "}\n"]), "")

    def _print_disabled(self, domain: str) -> Reply:
        off = [name.rpartition("/")[2] for name in self.turned_off if name.startswith(f"{domain}/")]
        return (0, "".join(["disabled services = {\n", *(f'\t"{name}" => disabled\n' for name in off), "}\n"]), "")

    def _enable(self, target: str) -> Reply:
        self.turned_off.discard(target)
        return (0, "", "")

    def _disable(self, target: str) -> Reply:
        self.turned_off.add(target)
        return (0, "", "")

    def _kickstart(self, *words: str) -> Reply:
        job = self._find(words[-1])
        if job is None:
            return (113, "", "Could not find service")
        if job.process is not None and "-k" in words:
            job.process.kill()
            job.process.wait()
            self._sweep(job.process.pid)
            job.process = None
        if job.process is None:
            self._start(job)
        return (0, "", "")

    def _kill(self, name: str, target: str) -> Reply:
        job = self._find(target)
        if job is None or job.process is None:
            return (3, "", "No process to signal.")
        job.process.send_signal(signal.Signals[name])
        return (0, "", "")

    def _find(self, target: str) -> Job | None:
        domain, _, label = target.rpartition("/")
        return self.jobs.get(label) if domain in self.sessions else None
