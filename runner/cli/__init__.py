"""`afk-runner`: parse, call one door, print, end with a code that means something.

A verb that only looks loads neither the gate nor the scheduler; `run` imports the daemon when it is called.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any, TextIO

import typer

from runner.cli import (
    alerts,
    brakes,
    care,
    drafts,
    drill,
    incidents,
    jobs,
    money,
    queue,
    report,
    schedules,
    service,
    setup,
    show,
    switch,
)
from runner.cli.shell import AnswerLost, flush, remark, remark_lines
from runner.errors import ConfigError, Exit, RunnerError, UsageError

PROGRAM = "afk-runner"

app = typer.Typer(
    help="Runs agents while nobody watches, under a hard spend cap. `afk-runner init` makes a home to begin with.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
ROOMS = (
    *(setup, queue, jobs, switch, schedules, show, money, brakes, drafts),
    *(incidents, alerts, report, drill, service, care),
)
for room in ROOMS:
    room.register(app)


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
        return int(app(argv, prog_name=PROGRAM, standalone_mode=False) or Exit.OK)
    except typer.TyperException as error:
        _say_usage(error)
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
    except Exception as error:  # the last place that can turn a fault of ours into a sentence
        said = " ".join(str(error).split())[:300]
        return _fault(f"internal fault, {type(error).__name__}: {said}; AFK_DEBUG=1 shows where", Exit.INTERNAL)


def _fault(sentence: str, code: Exit) -> Exit:
    if os.environ.get("AFK_DEBUG") == "1":
        remark_lines(traceback.format_exc().rstrip())
    remark(f"{PROGRAM}: {sentence}")
    return code


def _say_usage(error: typer.TyperException) -> None:
    context: Any = getattr(error, "ctx", None)  # the parser's own; its type is not public
    path = context.command_path if context else PROGRAM
    said = error.format_message().strip().removesuffix(".").replace(": Value error, ", ": ")
    if said.startswith("Usage:"):  # no verb at all: the message is the whole help
        remark_lines(said)
        return
    remark(f"{path}: {said[:1].lower()}{said[1:]}; `{path} --help` shows how it is written")


def _never_fail_to_encode(stream: TextIO | None) -> None:
    reconfigure = getattr(stream, "reconfigure", None)  # a test's stand-in has none
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
