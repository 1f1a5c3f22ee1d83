"""The runner's end of the child that talks to an address."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress

from runner.work.child import worker_environment

START_S = 30.0
"""For a busy machine to start the child."""
ANSWER_S = 40.0
"""For one message: more than the child gives an address."""

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")


async def hand(
    url: str,
    messages: Sequence[Mapping[str, str]],
    *,
    guard: Callable[[str], None] | None = None,
    taken: Callable[[int], Awaitable[None]] | None = None,
) -> str | None:
    """Hand messages to an address, in order; None when all were taken, otherwise why one was not, after which it ends.

    `taken` is awaited for each that was, with its place. `guard` is told `+PID` and `-PID`. A caller that is cancelled
    takes the child along. A message without words only asks whether the URL is understood.
    """
    try:
        child = _start()
    except OSError as error:
        return f"no process could be started for it: {error.strerror}"
    if guard is not None:
        guard(f"+{child.pid}")  # in the same breath: what is not guarded is ended as a stray
    try:
        return await _talk(child, url, messages, taken)
    finally:
        try:
            with suppress(ProcessLookupError, PermissionError):  # macOS says EPERM of a group of nothing but zombies
                os.killpg(child.pid, signal.SIGKILL)  # not collected yet, so the group is still its own
        finally:
            try:
                child.wait()
            finally:
                if guard is not None:
                    guard(f"-{child.pid}")


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "runner.notify.send"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        process_group=0,
        cwd="/",
        env=worker_environment(),
    )


async def _talk(
    child: subprocess.Popen[bytes],
    url: str,
    messages: Sequence[Mapping[str, str]],
    taken: Callable[[int], Awaitable[None]] | None,
) -> str | None:
    loop = asyncio.get_running_loop()
    answers = asyncio.StreamReader()
    heard, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(answers), child.stdout)
    told, _ = await loop.connect_write_pipe(asyncio.Protocol, child.stdin)
    order = {"url": url, "messages": [dict(message) for message in messages], "environment": _environment()}
    told.write(json.dumps(order).encode() + b"\n")
    try:
        for place in range(len(messages)):
            async with asyncio.timeout(ANSWER_S + (START_S if place == 0 else 0)):
                line = await answers.readline()
            if not line:
                return "the process that talks to it ended without an answer"
            fault = json.loads(line)["fault"]
            if fault is not None:
                return str(fault)
            if taken is not None:
                await taken(place)
    except TimeoutError:
        return "the process that talks to it said nothing for too long"
    finally:
        heard.close()
        if not told.is_closing():
            told.abort()  # the child ends when this pipe closes
    return None


def _environment() -> dict[str, str]:
    """How to reach the outside. A proxy's URL may hold a password, so it travels by the pipe as well."""
    names = [name for proxy in _PROXIES for name in (proxy, proxy.lower())]
    return {name: os.environ[name] for name in names if name in os.environ}
