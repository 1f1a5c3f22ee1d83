"""Lines of a crontab, in a block between two marks. Nothing outside the block is ever changed."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from runner.errors import Refused
from runner.service.plan import File, Plan

EVERY_MINUTES = 5
WATCH_MINUTES = 15
_LONGEST = 900  # cron cuts or refuses lines of about a thousand characters
_STOPPED = "#stopped "
"""Before each line of a block that is kept but does nothing."""


@dataclass(frozen=True, slots=True)
class Block:
    """A crontab taken apart."""

    before: str
    inside: str | None
    """With its marks; None: there is no block of this name."""
    after: str

    @property
    def stopped(self) -> bool:
        """It is there, and none of its lines does anything."""
        lines = (self.inside or "").splitlines()
        return bool(lines) and all(line.startswith("#") for line in lines)

    def replaced(self, inside: str) -> str:
        """The whole crontab with another block, at its end where there was none."""
        gap = "\n" if self.before and not self.before.endswith("\n") else ""
        return f"{self.before}{gap}{inside}{self.after}"


def render(plan: Plan) -> File:
    """The block. Raises Refused for paths that cron cannot carry."""
    for what, value in (("home", str(plan.home)), ("program", str(plan.program)), ("PATH", plan.path)):
        for sign in "%\\":
            if sign in value:
                raise Refused(f"cron cannot carry a {sign} in the {what}: {value}; choose a path without one")
    # An assignment of its own line would hold for the lines of others below it as well.
    start = ["/usr/bin/env", f"PATH={plan.path}", f"LANG={plan.lang}", str(plan.program)]
    home = ["--home", str(plan.home)]
    lines = [
        f"*/{EVERY_MINUTES} * * * * {shlex.join([*start, 'run', '--once', '--quiet', *home])}",
        f"*/{WATCH_MINUTES} * * * * {shlex.join([*start, 'status', '--check', '--quiet', *home])}",
    ]
    for line in lines:
        if len(line.encode()) > _LONGEST:
            raise Refused(f"the line for cron would be {len(line.encode())} bytes long, {_LONGEST} is the most")
    begin, end = _marks(plan.name)
    told = "# What a line says is mailed to whoever MAILTO names above it; when all is well none says anything."
    return File(name=f"{plan.name}.cron", text="\n".join([begin, told, *lines, end, ""]))


def stopped(text: str) -> str:
    """The block with its lines turned off."""
    lines = (line if line.startswith("#") else _STOPPED + line for line in text.splitlines())
    return "\n".join([*lines, ""])


def running(text: str) -> str:
    """The block with its lines turned on."""
    return "\n".join([*(line.removeprefix(_STOPPED) for line in text.splitlines()), ""])


def find(crontab: str, name: str) -> Block:
    """The block of this name. Raises Refused for marks that do not make exactly one block or none."""
    begin, end = _marks(name)
    places: dict[str, list[int]] = {begin: [], end: []}
    lines = re.findall(r"[^\n]*\n|[^\n]+", crontab)
    for number, line in enumerate(lines):
        if (word := line.strip()) in places:
            places[word].append(number)
    begins, ends = places[begin], places[end]
    if not begins and not ends:
        return Block(crontab, None, "")
    if len(begins) != 1 or len(ends) != 1 or begins > ends:
        at = ", ".join(str(number + 1) for number in sorted(begins + ends))
        raise Refused(
            f'the marks "{begin}" and "{end}" of the crontab (line {at}) do not enclose one block; '
            "mend them with `crontab -e`; nothing was changed"
        )
    first, last = begins[0], ends[0] + 1
    return Block("".join(lines[:first]), "".join(lines[first:last]), "".join(lines[last:]))


def _marks(name: str) -> tuple[str, str]:
    return f"# BEGIN {name}", f"# END {name}"
