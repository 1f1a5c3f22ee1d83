"""A command task: an argv list, the payload as JSON on its standard input, its standard output the result.

Exit code 0 is done, 65 dead at once, any other a failure that is tried again (75 says so on purpose).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from runner.work import agents, confine, processes

MAX_OUTPUT_BYTES = 500_000
"""Of standard output kept as the result; the whole of it is in the attempt's file."""
EX_DATAERR = 65
LAST_WORDS_S = 10.0
"""How long the rest of the output is waited for, once everything in sight has ended."""


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
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    env = environment(order, folder)
    if confined:
        with confine.start(argv, gate=order["gate"], cwd=order["cwd"], env=env, **pipes) as started:
            return _served(order, started.process)
    return _served(order, subprocess.Popen(argv, cwd=order["cwd"], env=env, **pipes))


def _served(order: Mapping[str, Any], child: subprocess.Popen[bytes]) -> dict[str, Any]:
    """Feed a command and read it to its end."""
    argv = order["command"]
    kept, over = bytearray(), threading.Event()
    reader = threading.Thread(target=_read, args=(child.stdout, kept, over), daemon=True)
    writer = threading.Thread(target=_feed, args=(child.stdin, order["payload"].encode()), daemon=True)
    reader.start()
    writer.start()
    code = child.wait()
    processes.end_leftovers()  # what it left running may hold the pipe open for ever
    reader.join(LAST_WORDS_S)
    over.set()  # off Linux what got out of sight may still write: no word of it belongs to the next attempt
    output = bytes(kept).decode("utf-8", "replace").replace("\0", "\\0")
    if code == 0:
        return {"outcome": "done", "result": json.dumps(output, ensure_ascii=False)}
    ended = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    last = output.strip().rsplit("\n", 1)[-1][:500]
    told = f"{argv[0]} {ended}{': ' + last if last else ''}"
    return {"outcome": "dead" if code == EX_DATAERR else "retry", "error": told}


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


def _read(stdout: IO[bytes] | None, kept: bytearray, over: threading.Event) -> None:
    """Pass standard output on to the attempt's capture until it is `over`, and keep its beginning as the result."""
    if stdout is None:
        return
    while (chunk := stdout.read1(65_536)) and not over.is_set():  # type: ignore[attr-defined]
        kept += chunk[: MAX_OUTPUT_BYTES - len(kept)]
        with suppress(OSError):
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()


def _feed(stdin: IO[bytes] | None, payload: bytes) -> None:
    if stdin is None:
        return
    with suppress(OSError):  # a command need not read its payload
        stdin.write(payload)
    with suppress(OSError):
        stdin.close()
