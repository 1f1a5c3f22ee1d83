"""A shell that has Python and the parser loaded already: what a test types answers in a tenth of the time.

`python -m tests.e2e.typed SOCKET` waits for command lines; each is run in a process of its own, forked here, with the
arguments, environment, working directory and open files it would have had. What a verb itself needs it loads itself.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runner.cli import PROGRAM, main


class Shell:
    """The process that forks them, from the side of the test."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="afk")  # short: so is the longest name of a socket
        self._at = str(Path(self._folder.name, "s"))
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(self._at)
            listening.listen(64)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.e2e.typed", str(listening.fileno())],
                stdin=subprocess.PIPE,  # that it ends with us, whatever ends us
                pass_fds=[listening.fileno()],
            )

    def run(
        self, words: Sequence[str], *, stdin: str | None, env: Mapping[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """`afk-runner WORDS`. Raises TimeoutExpired, and ends it then."""
        with (
            tempfile.TemporaryFile() as given,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
            socket.socket(socket.AF_UNIX) as asking,
        ):
            given.write((stdin or "").encode())
            given.seek(0)
            asking.settimeout(timeout)
            asking.connect(self._at)
            order = json.dumps({"words": list(words), "env": dict(env)}).encode()
            socket.send_fds(asking, [len(order).to_bytes(4, "big")], [file.fileno() for file in (given, out, err)])
            asking.sendall(order)
            with asking.makefile() as said:
                pid = int(said.readline())
                try:
                    code = int(said.readline())
                except TimeoutError:
                    os.kill(pid, signal.SIGKILL)
                    raise subprocess.TimeoutExpired([PROGRAM, *words], timeout) from None
            for file in (out, err):
                file.seek(0)
            told = [file.read().decode() for file in (out, err)]
        return subprocess.CompletedProcess([PROGRAM, *words], code, *told)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()


def serve(listening: socket.socket) -> None:
    """Fork for each that connects, until stdin ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # who forks the command waits for it, and nobody for that one
    while sys.stdin not in select.select([listening, sys.stdin], [], [])[0]:
        asking, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _answer(asking)
        asking.close()


def _answer(asking: socket.socket) -> None:
    """Fork the command, tell its pid and then what it exited with."""
    head, files, _, _ = socket.recv_fds(asking, 4, 3)
    with asking.makefile("rb") as reading:
        order = json.loads(reading.read(int.from_bytes(head, "big")))
    pid = os.fork()
    if pid == 0:
        asking.close()
        _become(order, files)
        sys.exit(main())
    asking.sendall(f"{pid}\n".encode())
    _, status = os.waitpid(pid, 0)
    asking.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _become(order: Mapping[str, Any], files: Sequence[int]) -> None:
    """What a process of its own would be."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir("/")
    os.environ.clear()
    os.environ.update(order["env"])
    time.tzset()
    sys.argv = [PROGRAM, *order["words"]]
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115 - until it ends


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
