"""A tmux session for the console, so that a lost ssh connection costs nothing: started, or joined when it is there.

It lives on a server of its own, `tmux -L afk`: what is set here for the console touches no other session. The person's
own configuration is read first, so the prefix key is the usual one.
"""

from __future__ import annotations

import curses
import hashlib
import os
import re
import shutil
from collections.abc import Mapping, Sequence

from runner.home import Home

SOCKET = "afk"
SETTINGS = (
    ("escape-time", "10"),  # half a second by default, which every Esc would wait for
    ("focus-events", "on"),  # a window nobody looks at is drawn half as often
    ("set-clipboard", "on"),  # `external`, the default, drops what the console copies
    ("terminal-overrides[100]", r"*:Ms=\E]52;c;%p2%s\007"),  # mosh forwards a copy only to the target `c`
)
"""Server options. Colours need none: the console draws with the terminal's own sixteen."""
KEPT = ("NO_COLOR", "AFK_TUI_DIFF", "SSH_CONNECTION")
"""The server's environment is that of whoever started it first; these are the caller's."""


def why_not(environ: Mapping[str, str]) -> str | None:
    """One sentence of advice when there can be no session; None when there can."""
    if environ.get("TMUX"):
        return "this is inside tmux already: leave --tmux out, and the console opens in this window"
    if shutil.which("tmux") is None:
        return "there is no tmux here: install it with the system's package manager, or leave --tmux out"
    term = environ.get("TERM", "")
    try:
        curses.setupterm(term, 2)
    except curses.error:
        return f"this machine knows no terminal {term!r} (TERM), and tmux needs to: TERM=xterm-256color is close enough"
    return None


def session(home: Home, options: Sequence[str]) -> str:
    """The name of the session: `afk` for the usual home, else with the home's name and what tells it apart.

    A console that may change nothing has a session of its own: who joins must find what was asked for.
    """
    name = "afk"
    if str(home.root) != os.path.expanduser("~/.afk"):
        told = hashlib.sha256(str(home.root).encode("utf-8", "surrogateescape")).hexdigest()[:6]
        name = f"afk-{re.sub('[^A-Za-z0-9_-]', '_', home.root.name)[:30]}-{told}"
    return f"{name}-readonly" if "--readonly" in options else name


def words(command: Sequence[str], *, session: str, environ: Mapping[str, str]) -> list[str]:
    """The command line that starts or joins the session; whoever else looks at it is detached.

    Two clients would share the size of the smaller one.
    """
    found = ["tmux", "-L", SOCKET, "-u", "start-server"]
    for name, value in SETTINGS:
        found += [";", "set-option", "-s", name, value]
    kept = [word for name in KEPT if name in environ for word in ("-e", f"{name}={environ[name]}")]
    found += [";", "new-session", "-A", "-D", "-s", session, "-c", "/", *kept, "--"]
    found += [f"{word[:-1]}\\;" if word.endswith(";") else word for word in command]
    return [*found, ";", "set-option", "-t", f"={session}:", "status", "off"]
