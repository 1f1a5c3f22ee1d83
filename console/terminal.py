"""Whether there is a terminal to draw on, and whether it is still there."""

from __future__ import annotations

import os
import select
from collections.abc import Mapping
from typing import TextIO

_NO_SCREEN = ("", "dumb", "unknown")


def why_not(environ: Mapping[str, str], stdin: TextIO | None, stderr: TextIO | None) -> str | None:
    """One sentence of advice when a screen cannot be drawn; None when it can. The screen is drawn on stderr."""
    way = "use `afk-console --once` for plain text or `--json` for programs"
    if not _is_tty(stdin) or not _is_tty(stderr):
        return f"there is no terminal here to draw on; {way}"
    term = environ.get("TERM", "")
    if term in _NO_SCREEN:
        return f"the terminal calls itself {term or 'nothing'!r} (TERM) and cannot be drawn on; {way}"
    return None


def lost(stdin: TextIO | None) -> bool:
    """Whether the terminal hung up: an ssh connection that died, a closed window."""
    if stdin is None:
        return True
    poll = select.poll()
    try:
        poll.register(stdin.fileno(), 0)
        return any(event & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, event in poll.poll(0))
    except (OSError, ValueError):
        return True


def _is_tty(stream: TextIO | None) -> bool:
    try:
        return stream is not None and os.isatty(stream.fileno())
    except (OSError, ValueError):
        return False


OF_A_DEMO = "AFK_DEMO"
"""Set by `afk-runner demo`, which ends its runner with the console."""


def what_goes_on(environ: Mapping[str, str]) -> str:
    """What becomes of the runner when the console ends."""
    return "the demo's runner ends with it" if environ.get(OF_A_DEMO) else "the runner goes on"
