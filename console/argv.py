"""What was typed behind `afk-console`.

Read without Typer, which loads a checker of types first: a third of the time until the first picture.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from getopt import GetoptError, gnu_getopt
from textwrap import fill

OPTIONS = (
    ("home", "DIR", "The home to watch; AFK_HOME or ~/.afk without it."),
    ("db", "FILE", "The database of a home, instead."),
    ("readonly", "", "No key changes anything."),
    ("ascii", "", "Draw lines and bars in plain ASCII."),
    ("mouse", "", "Let the program have the mouse."),
    ("once", "", "Print the state as text and end."),
    ("json", "", "Print the state as JSON and end."),
    ("tmux", "", "In a tmux session of its own, which outlives an ssh."),
    ("version", "", "Print the version and end."),
    ("help", "", "Show this message and exit; -h too."),
)
"""Name, what follows it, what it does."""
HELP_WIDTH = 78


class WrongWords(Exception):
    """They cannot be obeyed; nothing was done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What they ask for."""

    home: str | None = None
    db: str | None = None
    """An absolute path."""
    switches: frozenset[str] = frozenset()
    """Of the options that take nothing, those that were given."""


def parse(argv: list[str]) -> Words:
    """Read them. Raises WrongWords, in a sentence."""
    try:
        found, others = gnu_getopt(argv, "h", [f"{name}=" if follows else name for name, follows, _ in OPTIONS])
    except GetoptError as error:
        raise WrongWords(error.msg.replace("requires argument", "requires an argument")) from error
    if others:
        raise WrongWords(f"{others[0]!r} is no option")
    given = {"help" if option == "-h" else option.removeprefix("--"): value for option, value in found}
    home, db = given.pop("home", None), given.pop("db", None)
    switches = frozenset(given)
    if home == "":
        raise WrongWords("--home is empty; leave it out for $AFK_HOME or ~/.afk")
    if db == "":
        raise WrongWords("--db is empty; leave it out for the database of the home")
    if home is not None and db is not None:
        raise WrongWords("--home and --db name the same thing: give one of them")
    if "tmux" in switches and switches & {"once", "json"}:
        raise WrongWords("--tmux is for the screen; leave it out for --once and --json")
    return Words(home=home, db=os.path.abspath(db) if db is not None else None, switches=switches)


def help_text(program: str) -> str:
    """What `--help` prints."""
    purpose = "Watch a home and stop, resume and replay its work. The runner goes on when the console ends."
    example = f"Example: {program} --home ~/agents. Inside, ? lists the keys: k kills, u resumes, r replays, q quits."
    lines = [f"  {f'--{name} {follows}'.rstrip():<12}{does}" for name, follows, does in OPTIONS]
    return "\n".join((
        f"Usage: {program} [OPTIONS]\n",
        fill(purpose, HELP_WIDTH, initial_indent="  ", subsequent_indent="  "),
        "\nOptions:",
        *lines,
        "",
        fill(example, HELP_WIDTH, initial_indent="  ", subsequent_indent="  "),
    ))  # fmt: skip
