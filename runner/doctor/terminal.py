"""What the console needs around it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator

from runner.doctor.ask import ask
from runner.doctor.finding import Finding, ok, warn
from runner.doctor.look import MAC, Look


def terminal(look: Look) -> Iterator[Finding]:
    """tmux, in which a console outlives an ssh connection. The runner needs none of it."""
    path = shutil.which("tmux", path=look.environ.get("PATH"))
    if path is None:
        mend = "brew install tmux" if look.platform == MAC else "sudo apt-get install tmux, or as your system has it"
        yield warn("tmux", "there is no tmux here, so a console ends with its ssh connection", mend)
        return
    said = ask(path, "-V")
    version = re.search(r"(\d+)\.(\d+)", said.out) if said else None
    if version and (int(version[1]), int(version[2])) < (3, 2):
        yield warn(
            "tmux", f"tmux {version[0]} is older than 3.2: `afk-console --tmux` may not start", "install a newer one"
        )
    else:
        yield ok("tmux", f"{path} ({said.out.strip() if said else 'it does not say its version'})")
