"""Asking a tool of the system."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass

ASK_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a tool answered."""

    code: int
    out: str


def ask(*argv: str, timeout_s: float = ASK_S) -> Said | None:
    """What a tool says, in English; None: it is not here, cannot be started, or does not answer in time.

    It gets no key of the owner's: what is passed on is what a tool needs to find its service.
    """
    passed = ("PATH", "HOME", "USER", "LOGNAME", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "TMPDIR")
    try:
        said = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
            env={"LC_ALL": "C", **{name: os.environ[name] for name in passed if name in os.environ}},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return Said(code=said.returncode, out=said.stdout.decode("utf-8", "replace"))
