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
from typing import IO, Any

from runner.work import processes

MAX_OUTPUT_BYTES = 500_000
"""Of standard output kept as the result; the whole of it is in the attempt's file."""
EX_DATAERR = 65
LAST_WORDS_S = 10.0
"""How long the rest of the output is waited for, once everything in sight has ended."""


def run_command(order: Mapping[str, Any]) -> dict[str, Any]:
    """Run the command of an order to its end; the answer for the runner."""
    argv = order["command"]
    try:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=order["cwd"],
            env=environment(order),
        )
    except (OSError, ValueError) as error:
        return {"outcome": "dead", "error": f"{argv[0]} cannot be started: {getattr(error, 'strerror', None) or error}"}
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


def environment(order: Mapping[str, Any]) -> dict[str, str]:
    """A command's environment, built from nothing: no vendor key, login or proxy of the caller gets through."""
    gate, token = order["gate"], order["token"]
    made = {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": os.environ.get("LANG", "C.UTF-8"),
        "HOME": order["child_home"],
        "TMPDIR": os.environ.get("TMPDIR", "/tmp"),  # noqa: S108 - where the system says, else where it always is
        "AFK_GATE_URL": gate,
        "AFK_TOKEN": token,
        "AFK_KEY": order["key"],
        "AFK_ATTEMPT": str(order["n"]),
        "ANTHROPIC_BASE_URL": gate,
        "ANTHROPIC_API_KEY": token,
        "OPENAI_BASE_URL": f"{gate}/v1",
        "OPENAI_API_KEY": token,
        "CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_MAX_RETRIES": "0",
        "OLLAMA_NO_CLOUD": "1",
    }
    if order["max_output_tokens"]:
        made["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] = str(order["max_output_tokens"])
    return {**order["env"], **made}


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
