"""What every verb shares: its options, the way to the home, and how it speaks.

Results go to stdout, remarks to stderr. A line that is said stays one line, whoever wrote what is in it: a text of many
lines could otherwise forge the next line of the answer.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from runner.commands import Door
from runner.errors import ConfigError, Exit, RunnerError, StoreMissing
from runner.home import Home
from runner.snapshot import Reader
from runner.text import one_line, visible
from runner.units import iso


def _home_dir(text: str) -> Path:
    # Path("") is the folder one happens to be in: not what `--home "$UNSET"` means.
    if not text:
        raise typer.BadParameter("--home is empty; leave it out for $AFK_HOME or ~/.afk")
    return Path(text)


HomeDir = Annotated[
    Path | None,
    typer.Option(
        "--home", metavar="DIR", help="The home; else $AFK_HOME, else ~/.afk.", show_default=False, parser=_home_dir
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
LARGEST_ID = 2**63 - 1
"""Of a row; SQLite takes no larger number."""


def row_id(text: str) -> int:
    """The number of a row, as a person types it. Raises BadParameter for what no row can have."""
    digits = text.isascii() and text.isdecimal() and len(text) <= len(str(LARGEST_ID))
    if not digits or not 0 < int(text) <= LARGEST_ID:
        raise typer.BadParameter(f"{text} is no ID; it is a number that the listing shows")
    return int(text)


def words(text: str) -> str:
    """What a person says, as it can be kept: a kill does not fail for a byte of its reason that is not UTF-8."""
    return os.fsencode(text).decode("utf-8", "replace")


Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=1_000_000, metavar="N", help="Print at most N.")]
Keys = Annotated[list[str], typer.Argument(metavar="KEY...", help="As `afk-runner jobs` prints them.")]
OneKey = Annotated[str, typer.Argument(metavar="KEY", help="As `afk-runner jobs` prints it.")]


class AnswerLost(RunnerError):
    """Stdout could not be written, as on a full disk. What the verb did stays done."""

    exit_code = Exit.FILES


def example(*lines: str) -> str:
    """The end of a verb's help."""
    # \b keeps the lines as they are; the help would otherwise wrap them into one paragraph.
    return "\b\n" + "\n".join(["Example:", *(f"  {line}" for line in lines)])


def find_home(option: Path | None) -> Home:
    return Home.find(option, os.environ)


@contextmanager
def at_home(option: Path | None) -> Iterator[Home]:
    """The home an option means, for acts at it.

    Raises ConfigError saying so where it does not exist, in place of the act's own complaint about what is not in it.
    """
    home = find_home(option)
    try:
        yield home
    except (StoreMissing, ConfigError):
        if not os.path.lexists(home.root):
            home.check()
        raise


@contextmanager
def reading(option: Path | None) -> Iterator[Reader]:
    """The read door of the home an option means. Raises StoreError, ConfigError."""
    with at_home(option) as home, closing(Reader(home)) as reader:
        yield reader


@contextmanager
def writing(option: Path | None) -> Iterator[Door]:
    """The write door of the home an option means; the database is opened by the first act."""
    with at_home(option) as home, closing(Door(home)) as door:
        yield door


def say(text: str = "") -> bool:
    """A line of the result. False when nobody reads any more: `| head` has seen enough, which is no fault."""
    return _write(sys.stdout, one_line(text) + "\n")


def say_under(text: str) -> bool:
    """A text of many lines, indented under the label said before: no line of it stands where ours stand."""
    return _write(sys.stdout, "".join(f"  {line}\n" for line in visible(text).split("\n")))


def say_file(text: str) -> bool:
    """The text of a file of our own making, byte for byte: somebody redirects it into one."""
    return _write(sys.stdout, text)


def say_json(document: Any) -> bool:
    """The result as one JSON document, ASCII alone."""
    return _write(sys.stdout, json.dumps(document, indent=2) + "\n")


def say_json_line(document: Any) -> bool:
    """One of many documents, a line each."""
    return _write(sys.stdout, json.dumps(document) + "\n")


def remark(text: str) -> None:
    """A line beside the result. A stderr that cannot be written has nobody who could be told."""
    with suppress(AnswerLost):
        _write(sys.stderr, one_line(text) + "\n")


def remark_lines(text: str) -> None:
    """Lines of our own making, such as a help page."""
    for line in text.split("\n"):
        remark(line)


def flush() -> bool:
    """Hand over what was said. False when nobody reads it any more. Raises AnswerLost."""
    with suppress(AnswerLost):
        _write(sys.stderr, "", flush=True)
    return _write(sys.stdout, "", flush=True)


def _write(stream: TextIO | None, text: str, *, flush: bool = False) -> bool:
    if stream is None:  # closed by the caller, `>&-`
        return False
    try:
        stream.write(text)
        if flush:
            stream.flush()
    except BrokenPipeError:
        _forget(stream)
        return False
    except OSError as error:
        _forget(stream)
        raise AnswerLost(f"the answer could not be written: {error.strerror}") from error
    return True


def _forget(stream: TextIO) -> None:
    # The act goes on and its exit code stays true; Python's own flush at exit must find nothing broken.
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, stream.fileno())
    os.close(devnull)


def say_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows in columns as wide as they need; on a terminal the last one is cut at its edge."""
    cells = [tuple(header), *(tuple(one_line(cell) for cell in row) for row in rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(header))]
    edge = shutil.get_terminal_size().columns if sys.stdout is not None and sys.stdout.isatty() else None
    for row in cells:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        if not say(line if edge is None else one_line(line, edge)):
            return


def stamp(at: int | None) -> str:
    """An instant for eyes, to the second, in UTC."""
    text = iso(at)
    return f"{text[:19]}Z" if text else "-"


def first_line(text: str | None, limit: int = 300) -> str:
    """The first line of an error or a result."""
    return (text or "").strip().split("\n", 1)[0][:limit]


def say_bulk(done: Sequence[str], refused: Sequence[tuple[str, str]], *, verb: str, as_json: bool) -> None:
    """What an act on several jobs did; ends with exit code 1 when any was refused."""
    if as_json:
        answers = [{"key": key, "reason": reason} for key, reason in refused]
        say_json({verb.replace(" ", "_"): list(done), "refused": answers})
    else:
        for key in done:
            say(f"{verb} {key}")
    for key, reason in refused:
        remark(f"afk-runner: not {verb} {key}: {reason}")
    if refused:
        raise typer.Exit(Exit.REFUSED)
