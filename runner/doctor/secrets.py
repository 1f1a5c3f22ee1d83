"""Secrets: whether a service would find them, and whether copies of them lie open."""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from runner.doctor.finding import Finding, fail, ok, warn
from runner.doctor.look import Look
from runner.settings.secrets import read_dotenv

_NAMED = re.compile(r'"env:([A-Za-z_][A-Za-z0-9_]*)"|\'env:([A-Za-z_][A-Za-z0-9_]*)\'')
_COPIES = (".env*", "*.env", "afk.toml*")


def secrets(look: Look) -> Iterator[Finding]:
    """Where each one comes from. No value is ever repeated."""
    if look.config is None:
        return
    home = look.home
    text = re.sub(r"^\s*#.*$", "", home.config.read_text("utf-8"), flags=re.MULTILINE)
    named = sorted({first or second for first, second in _NAMED.findall(text)})
    kept, _ = read_dotenv(home.env)
    shell = [name for name in named if name not in kept]
    for name in shell:
        said = f"{name} is in this environment and not in .env: a service is started without your shell's environment"
        env = shlex.quote(str(home.env))
        yield warn("secrets", said, f"printf '\\n{name}=%s\\n' \"${name}\" >> {env} && chmod 600 {env}")
    if named and not shell:
        yield ok("secrets", f"{', '.join(named)}: in .env, which only you can read")
    yield from _copies(home.root)
    yield from _repository(home.root)


def _copies(root: Path) -> Iterator[Finding]:
    for path in sorted({found for pattern in _COPIES for found in root.glob(pattern)}):
        with suppress(OSError):
            status = os.lstat(path)
            if stat.S_ISREG(status.st_mode) and status.st_mode & 0o077 and path.name != "afk.toml":
                mend = f"chmod 600 {shlex.quote(str(path))}, or delete it"
                # A copy of the settings names secrets; only an address of [alerts] may be written out in it.
                tell = warn if path.name.startswith("afk.toml") else fail
                yield tell("secrets", f"{path} can be read by others", mend)


def _repository(root: Path) -> Iterator[Finding]:
    """A home in a work tree is one `git add .` away from a pushed key."""
    for folder in (root, *root.parents):
        if (folder / ".git").exists():
            text = f"the home is in a git work tree ({folder}): one `git add` publishes .env and the database"
            inside = shlex.quote(f"/{root.relative_to(folder)}/" if folder != root else "*")
            exclude = shlex.quote(str(folder / ".git/info/exclude"))
            yield warn("secrets", text, f"echo {inside} >> {exclude}, or move the home")
            return
