"""Starting a command that can reach the gate and nothing else, with a relay to it on Linux.

On Linux the command gets a network of its own (`confined.py`); a socket that listens inside it is held here, outside,
and every connection to it is relayed to the gate. On macOS a sandbox profile denies every connection but the one. Files
are not confined: what the command writes and somebody runs later has left its confinement.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from runner.errors import RunnerError

LAUNCHER = Path(__file__).with_name("confined.py")
MOST_CONNECTIONS = 128
"""Relayed at once; the gate has no more to give to one attempt."""
CHUNK = 65_536
SETUP_S = 30.0
"""Longest wait until a command is confined; on a busy machine a new process takes its time."""
SYSCTLS = Path("/proc/sys")
SANDBOX = "/usr/bin/sandbox-exec"


class Unconfined(RunnerError):
    """The command cannot be confined on this machine, and was not run."""


class Confined:
    """A command that runs confined, and the way out of it. A context: leaving it closes the way, not the command."""

    def __init__(self, process: subprocess.Popen[bytes], relay: Relay | None) -> None:
        self.process = process
        self._relay = relay

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._relay is not None:
            self._relay.close()


def start(argv: Sequence[str], *, gate: str, cwd: str, env: Mapping[str, str], **pipes: Any) -> Confined:
    """Start a command that can reach `gate` alone. Raises Unconfined, or OSError when there is no such program."""
    if sys.platform.startswith("linux"):
        return _on_linux(argv, gate=gate, cwd=cwd, env=env, **pipes)
    if sys.platform == "darwin":
        if shutil.which(argv[0], path=env.get("PATH")) is None:  # else the sandbox's own complaint is all there is
            raise FileNotFoundError(None, "there is no such program", argv[0])
        words = _in_sandbox(argv, gate=gate)
        return Confined(subprocess.Popen(words, cwd=cwd, env=env, **pipes), None)
    raise Unconfined(f"nothing is known that confines a command on {sys.platform}")


def _on_linux(argv: Sequence[str], *, gate: str, cwd: str, env: Mapping[str, str], **pipes: Any) -> Confined:
    host, port = _address(gate)
    ours, theirs = socket.socketpair()
    ours.settimeout(SETUP_S)
    with ours:
        with theirs:
            process = subprocess.Popen(
                # No site, no environment of the owner's: nothing but the standard library runs before it is confined.
                [sys.executable, "-I", "-S", str(LAUNCHER), str(theirs.fileno()), str(port), *argv],
                pass_fds=(theirs.fileno(),),
                cwd=cwd,
                env=env,
                **pipes,
            )
        try:
            listener = _listener(ours)
            failed = _said(ours)
        except BaseException as error:
            _drop(process)
            if isinstance(error, OSError):
                raise Unconfined(f"it was not confined: {error}") from error
            raise
    if failed:
        listener.close()
        _drop(process)
        raise FileNotFoundError(None, failed.partition(" ")[2], argv[0])
    return Confined(process, Relay(listener, to=(host, port)))


def _listener(launcher: socket.socket) -> socket.socket:
    said, descriptors, _, _ = socket.recv_fds(launcher, 4096, 1)
    word, _, sentence = said.decode(errors="replace").partition(" ")
    if word == "ready" and descriptors:
        return socket.socket(fileno=descriptors[0])
    raise Unconfined(sentence or "the process that was to confine it ended without a word")


def _said(launcher: socket.socket) -> str:
    """What else the launcher says, until it is the command."""
    parts = []
    while part := launcher.recv(4096):
        parts.append(part)
    return b"".join(parts).decode(errors="replace")


def _drop(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()


class Relay:
    """Carries each connection that a socket accepts to one address, byte for byte as it comes."""

    def __init__(self, listener: socket.socket, *, to: tuple[str, int]) -> None:
        """Begin at once. Takes the listener over."""
        self._listener = listener
        self._to = to
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._closed = False
        threading.Thread(target=self._accept, name="relay", daemon=True).start()

    def close(self) -> None:
        """Accept no more and cut what is open."""
        with self._lock:
            self._closed = True
            left = list(self._open)
        for each in (self._listener, *left):
            with suppress(OSError):  # wakes whoever waits on it; its own thread closes it
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with self._listener:
            while not self._closed:
                try:
                    inside, _ = self._listener.accept()
                except OSError:
                    return
                with self._lock:
                    full = self._closed or len(self._open) >= 2 * MOST_CONNECTIONS
                if full:
                    inside.close()
                else:
                    threading.Thread(target=self._carry, args=(inside,), name="relayed", daemon=True).start()

    def _carry(self, inside: socket.socket) -> None:
        with inside:
            try:
                outside = socket.create_connection(self._to, timeout=SETUP_S)
            except OSError:
                return
            with outside:
                outside.settimeout(None)
                for each in (inside, outside):
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with self._lock:
                    if self._closed:
                        return
                    self._open |= {inside, outside}
                back = threading.Thread(target=_pump, args=(outside, inside), name="relayed", daemon=True)
                back.start()
                _pump(inside, outside)
                back.join()
                with self._lock:
                    self._open -= {inside, outside}


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Carry one direction to its end. An orderly end is passed on; anything else ends both directions."""
    try:
        while data := source.recv(CHUNK):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def _in_sandbox(argv: Sequence[str], *, gate: str) -> list[str]:
    return [SANDBOX, "-p", profile(gate), *argv]


def profile(gate: str) -> str:
    """The sandbox profile of macOS. Asking another program to do it would be a way out too."""
    _, port = _address(gate)
    return (
        "(version 1)\n"
        "(allow default)\n"
        "(deny network*)\n"
        f'(allow network-outbound (remote tcp "localhost:{port}"))\n'
        "(deny appleevent-send)\n"
        "(deny lsopen)\n"
    )


def _address(gate: str) -> tuple[str, int]:
    found = re.fullmatch(r"http://(127\.0\.0\.1):(\d+)", gate)
    if found is None:
        raise Unconfined(f"the gate is not on this machine's loopback: {gate}")
    return found[1], int(found[2])


def obstacle() -> str | None:
    """Why no command can be confined here, tried for real; None: it works."""
    with tempfile.TemporaryFile() as nowhere:
        pipes = {"stdin": subprocess.DEVNULL, "stdout": nowhere, "stderr": nowhere}
        try:
            with start(["true"], gate="http://127.0.0.1:9", cwd="/", env={"PATH": os.defpath}, **pipes) as confined:
                code = confined.process.wait(SETUP_S)
        except Unconfined as error:
            return str(error)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"a confined command does not start: {error}"
        return None if code == 0 else f"a confined command ended with exit code {code} before it began"


def way_out() -> str:
    """What an operator does about an `obstacle`."""
    if not sys.platform.startswith("linux"):
        return "take confine out of the task, or run it on Linux"
    for name, wanted in _WANTED.items():
        with suppress(OSError, ValueError):
            found = int(SYSCTLS.joinpath(*name.split(".")).read_text("ascii"))
            if found == 0 if wanted else found != 0:
                return f"sysctl -w {name}={wanted}"
    return (
        "in a container start it with a seccomp profile that allows unshare (docker run --security-opt "
        "seccomp=FILE), elsewhere ask for unprivileged user namespaces; or take confine out of the task"
    )


_WANTED = {
    "kernel.unprivileged_userns_clone": 1,
    "user.max_user_namespaces": 10_000,
    "user.max_net_namespaces": 10_000,
    "kernel.apparmor_restrict_unprivileged_userns": 0,
}
"""Settings that keep a user from namespaces, with what they must be."""
