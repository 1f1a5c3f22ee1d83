"""`afk-runner`: parse, call one door, print, end with a code that means something.

A verb that only looks loads neither the gate nor the scheduler; `run` imports the daemon when it is called.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Any, TextIO

import typer

from runner.cli.shell import AnswerLost, flush, remark, remark_lines, words
from runner.errors import ConfigError, Exit, RunnerError, UsageError

PROGRAM = "afk-runner"

ROOMS = {
    "setup": ("init", "demo", "doctor", "run", "version"),
    "queue": ("enqueue", "cancel", "remove", "dead", "replay"),
    "jobs": ("jobs", "job", "why"),
    "switch": ("kill", "resume", "pause", "unpause"),
    "schedules": ("fire",),
    "show": ("status", "schedules", "logs"),
    "money": ("spend",),
    "brakes": ("breaker",),
    "drafts": ("drafts",),
    "incidents": ("incidents",),
    "alerts": ("alerts",),
    "report": ("report",),
    "drill": ("drill",),
    "service": ("service",),
    "care": ("backup", "restore", "check", "prune"),
}
"""Which module has which verbs: the one that is asked for is loaded, which halves the time to an answer."""


def app(verb: str | None = None) -> typer.Typer:
    """The parser, with the room of this verb alone; with all of them for None and for what is no verb."""
    rooms = [room for room, verbs in ROOMS.items() if verb in verbs] or list(ROOMS)
    made = typer.Typer(
        help="Runs agents while nobody watches, under a hard spend cap. `afk-runner init` makes a home to begin with.",
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=False,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    made.callback()(lambda: None)  # a single verb is still a verb
    for room in rooms:
        import_module(f"runner.cli.{room}").register(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; its exit code."""
    for stream in (sys.stdout, sys.stderr):
        _never_fail_to_encode(stream)
    code = _guarded(sys.argv[1:] if argv is None else list(argv))
    try:
        flush()
    except AnswerLost as error:
        remark(f"{PROGRAM}: {error}")
        return error.exit_code
    return code


def _guarded(argv: list[str]) -> int:  # noqa: PLR0911 - one way out a kind of fault
    try:
        # Not standalone: the exit codes are ours, and 2 means "critical" to a monitor.
        return int(app(next(iter(argv), None))(argv, prog_name=PROGRAM, standalone_mode=False) or Exit.OK)
    except typer.TyperException as error:
        _say_usage(error, argv)
        return Exit.USAGE
    except UsageError as error:
        remark(f"{PROGRAM}: {error}")
        return Exit.USAGE
    except RunnerError as error:
        # Only what is wrong with settings comes as lines, each of which names its file; all else is one sentence.
        if isinstance(error, ConfigError) and "\n" in str(error):
            remark_lines(str(error))
        else:
            remark(f"{PROGRAM}: {error}")
        return error.exit_code
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fault(f"{where}{error.strerror or error}", Exit.FILES)
    except (typer.Abort, KeyboardInterrupt):
        return 130  # as a shell counts a death by SIGINT
    except UnicodeEncodeError as error:
        if (word := next((word for word in argv if words(word) != word), None)) is None:
            return _fault(f"internal fault, {type(error).__name__}: {error}; AFK_DEBUG=1 shows where", Exit.INTERNAL)
        remark(f"{PROGRAM}: {word[:80]!r} is not UTF-8 text")
        return Exit.USAGE
    except Exception as error:  # the last place that can turn a fault of ours into a sentence
        said = " ".join(str(error).split())[:300]
        return _fault(f"internal fault, {type(error).__name__}: {said}; AFK_DEBUG=1 shows where", Exit.INTERNAL)


def _fault(sentence: str, code: Exit) -> Exit:
    if os.environ.get("AFK_DEBUG") == "1":
        remark_lines(traceback.format_exc().rstrip())
    remark(f"{PROGRAM}: {sentence}")
    return code


def _say_usage(error: typer.TyperException, argv: list[str]) -> None:
    context: Any = getattr(error, "ctx", None)  # the parser's own; its type is not public
    said = error.format_message().strip().removesuffix(".").replace(": Value error, ", ": ")
    if said.startswith("Usage:"):  # no verb at all: the message is the whole help
        remark_lines(said)
        return
    option = getattr(error, "option_name", None)
    if context is not None:
        path = context.command_path
        if path == PROGRAM and option:
            remark(f"{path}: {option} stands before the verb, and an option comes after it: `{path} VERB {option} ...`")
            return
    else:  # of an option without its value the parser does not tell whose it is
        path, command = _meant(argv)
        if option and said.endswith("requires an argument"):
            said = f"{option} wants a value, as in `{option} {_value(command, option)}`"
    remark(f"{path}: {said[:1].lower()}{said[1:]}; `{path} --help` shows how it is written")


def _meant(argv: list[str]) -> tuple[str, Any]:
    """The verb somebody typed, with the program before it, and its parser."""
    path, command = PROGRAM, typer.main.get_command(app(next(iter(argv), None)))
    for word in argv:
        below = getattr(command, "commands", {}).get(word)
        if below is None:
            break
        path, command = f"{path} {word}", below
    return path, command


def _value(command: Any, option: str) -> str:
    """What stands for the value of an option in the help of its verb."""
    return next((one.metavar for one in command.params if option in one.opts and one.metavar), "VALUE")


def _never_fail_to_encode(stream: TextIO | None) -> None:
    reconfigure = getattr(stream, "reconfigure", None)  # a test's stand-in has none
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
