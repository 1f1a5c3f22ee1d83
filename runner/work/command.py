"""A command task: an argv list, the payload as JSON on its standard input, its standard output the result.

Exit code 0 is done, 65 dead at once, any other a failure that is tried again (75 says so on purpose).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from runner.text import visible
from runner.work import agents, confine, processes

MAX_OUTPUT_BYTES = 500_000
"""Of standard output kept as the result; more of it is in the attempt's file."""
END_BYTES = 4_000
"""Of each stream's end, where a command that failed says why."""
LAST_WORD_CHARS = 500
EX_DATAERR = 65
LAST_LOOKS, LOOK_S = 100, 0.1
"""How long the rest of the output is waited for, once everything in sight has ended: so many looks of so many seconds,
for whoever was frozen meanwhile finds the time over, and the output still in the pipe."""


def run_command(order: Mapping[str, Any]) -> dict[str, Any]:
    """Run the command of an order to its end; the answer for the runner."""
    folder = Path(order["agents"], str(os.getpid()))
    try:
        agents.lay_out(folder, gate=order["gate"], token=order["token"])
    except OSError as error:
        return {"outcome": "retry", "error": f"{folder} cannot be made: {error.strerror}"}
    try:
        return _run(order, folder)
    except confine.Unconfined as error:
        return {"outcome": "unconfined", "error": str(error)}
    except (OSError, ValueError) as error:
        return {"outcome": "dead", "error": _unstarted(order, error)}
    finally:
        agents.clear(folder)


def _unstarted(order: Mapping[str, Any], error: OSError | ValueError) -> str:
    """What is missing: the system says "no such file" of the command and of its folder alike."""
    cwd = order["cwd"]
    if not os.path.isdir(cwd):
        missing = "is not a directory" if os.path.lexists(cwd) else "does not exist"
        return f"its cwd {cwd} {missing}; make it, or change cwd in afk.toml"
    if not os.access(cwd, os.X_OK):
        return f"its cwd {cwd} may not be entered; change its mode, or cwd in afk.toml"
    return f"{order['command'][0]} cannot be started: {getattr(error, 'strerror', None) or error}"


def _run(order: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Raises Unconfined, or OSError or ValueError when it cannot be started."""
    confined = order["confine"] == "network"
    argv = agents.pinned(order["command"], folder=folder, confined=confined)
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    env = environment(order, folder)
    if confined:
        with confine.start(argv, gate=order["gate"], cwd=order["cwd"], env=env, **pipes) as started:
            return _served(order, started.process)
    return _served(order, subprocess.Popen(argv, cwd=order["cwd"], env=env, **pipes))


def _served(order: Mapping[str, Any], child: subprocess.Popen[bytes]) -> dict[str, Any]:
    """Feed a command and read it to its end."""
    over = threading.Event()
    out, err = _Stream(MAX_OUTPUT_BYTES), _Stream(0)
    readers = [
        threading.Thread(target=stream.read, args=(pipe, sys.stdout.buffer, over), daemon=True)
        for stream, pipe in ((out, child.stdout), (err, child.stderr))
    ]
    writer = threading.Thread(target=_feed, args=(child.stdin, order["payload"].encode()), daemon=True)
    for thread in (*readers, writer):
        thread.start()
    code = child.wait()
    processes.end_leftovers()  # what it left running may hold the pipes open for ever
    for _ in range(LAST_LOOKS):
        if (unread := next((reader for reader in readers if reader.is_alive()), None)) is None:
            break
        unread.join(LOOK_S)
    over.set()  # off Linux what got out of sight may still write: no word of it belongs to the next attempt
    if code == 0:
        return {"outcome": "done", "result": json.dumps(out.text(), ensure_ascii=False)}
    ended = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    last = last_word(err.end) or last_word(out.end)
    told = f"{order['command'][0]} {ended}{': ' + last if last else ''}"
    return {"outcome": "dead" if code == EX_DATAERR else "retry", "error": told}


class _Stream:
    """One stream of a command: passed on as it comes, with its beginning and its end kept."""

    def __init__(self, most: int) -> None:
        """`most`: bytes of its beginning."""
        self._most = most
        self._beginning = bytearray()
        self._bytes = 0
        self.end = b""
        """Its last `END_BYTES`."""

    def read(self, pipe: IO[bytes], onto: IO[bytes], over: threading.Event) -> None:
        """Pass it on to the attempt's capture until it ends or is `over`."""
        while (chunk := pipe.read1(65_536)) and not over.is_set():  # type: ignore[attr-defined]
            self._beginning += chunk[: self._most - len(self._beginning)]
            self._bytes += len(chunk)
            self.end = (self.end + chunk)[-END_BYTES:]
            with suppress(OSError):
                onto.write(chunk)
                onto.flush()

    def text(self) -> str:
        """Its beginning, and a last line that says so where it is not all."""
        whole = bytes(self._beginning).decode("utf-8", "replace").replace("\0", "\\0")
        if self._bytes <= self._most:
            return whole
        return f"{whole}\n[{self._bytes:,} bytes were printed; only the first {self._most:,} are the result]"


_COLOURS = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])")
"""What a terminal takes for a colour, a move or a title."""


def last_word(end: bytes) -> str:
    """The last line with anything in it, fit to be shown; empty when there is none."""
    lines = _COLOURS.sub("", end.decode("utf-8", "replace")).splitlines()
    last = next((line for line in reversed(lines) if line.strip()), "")
    return visible(last.strip()[:LAST_WORD_CHARS])


def environment(order: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """A command's environment, built from nothing: no vendor key, login, proxy or agent socket of ours gets through."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR") if name in os.environ}
    return {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "TMPDIR": "/tmp",  # noqa: S108 - where it always is, unless the system says otherwise
        **kept,
        **agents.habits(max_output_tokens=order["max_output_tokens"]),
        **order["env"],
        **agents.addresses(gate=order["gate"], token=order["token"], folder=folder),
        "HOME": order["child_home"],
        "AFK_KEY": order["key"],
        "AFK_ATTEMPT": str(order["n"]),
    }


def _feed(stdin: IO[bytes] | None, payload: bytes) -> None:
    if stdin is None:
        return
    with suppress(OSError):  # a command need not read its payload
        stdin.write(payload)
    with suppress(OSError):
        stdin.close()
