"""`afk-console`: parse, then draw the screen, or print it once."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from console import terminal
from console.clean import clean
from console.look import ASCII, UNICODE, Look
from runner.errors import Exit, RunnerError
from runner.home import Home
from runner.units import SystemClock

PROGRAM = "afk-console"
OF_A_DEMO = "AFK_DEMO"
"""Set where the runner ends with the console."""
FRAMES_S = "200"
"""At the most: nothing is drawn that did not change."""
SWITCH_S = 0.0005
"""How long one thread may keep the others from running."""
PIPE_WIDTH = 100
"""Columns of `--once` where no terminal says how many there are."""

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)


@app.command(
    epilog="Example: afk-console --home ~/agents. Inside, ? lists the keys: k kills, u resumes, r replays, q quits.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
def console(  # noqa: PLR0917 - options, which the parser gives by name
    home: Annotated[
        str | None, typer.Option("--home", metavar="DIR", help="The home to watch; AFK_HOME or ~/.afk without it.")
    ] = None,
    db: Annotated[Path | None, typer.Option("--db", metavar="FILE", help="The database of a home, instead.")] = None,
    readonly: Annotated[bool, typer.Option("--readonly", help="No key changes anything.")] = False,
    ascii_only: Annotated[bool, typer.Option("--ascii", help="Draw lines and bars in plain ASCII.")] = False,
    mouse: Annotated[bool, typer.Option("--mouse", help="Let the program have the mouse.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Print the state as text and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the state as JSON and end.")] = False,
    in_tmux: Annotated[
        bool, typer.Option("--tmux", help="In a tmux session of its own, which outlives an ssh.")
    ] = False,
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
) -> int:
    """Watch a home and stop, resume and replay its work. The runner goes on when the console ends."""
    if show_version:
        from importlib.metadata import version  # noqa: PLC0415 - only what is asked for is loaded

        typer.echo(f"{PROGRAM} {version('afk-console')}")
        return Exit.OK
    if home is not None and not home:
        raise typer.BadParameter("--home is empty; leave it out for $AFK_HOME or ~/.afk")
    if home is not None and db is not None:
        raise typer.BadParameter("--home and --db name the same thing: give one of them")
    file = Path(os.path.abspath(db)) if db is not None else None
    place = Home(file.parent) if file is not None else Home.find(Path(home) if home is not None else None, os.environ)
    look = ASCII if ascii_only else UNICODE
    if in_tmux and (once or as_json):
        raise typer.BadParameter("--tmux is for the screen; leave it out for --once and --json")
    if as_json:
        return _print_json(place, file)
    if once:
        from console.plain import once as text  # noqa: PLC0415

        width = shutil.get_terminal_size((PIPE_WIDTH, 24)).columns
        typer.echo(text(place, db=file, clock=SystemClock(), width=width, look=look))
        return Exit.OK
    refusal = terminal.why_not(os.environ, sys.__stdin__, sys.__stderr__)
    if refusal is not None:
        _remark(refusal)
        return Exit.REFUSED
    if in_tmux:
        options = {"--readonly": readonly, "--ascii": ascii_only, "--mouse": mouse}
        return _enter_tmux(place, file, tuple(option for option, given in options.items() if given))
    return _draw(place, file, readonly=readonly, look=look, mouse=mouse)


def main() -> int:
    """Run the program; its exit code."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure: Any = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    try:
        return int(app(prog_name=PROGRAM, standalone_mode=False) or Exit.OK)
    except typer.TyperException as error:
        said = error.format_message().strip().removesuffix(".")
        _remark(f"{said[:1].lower()}{said[1:]}; `{PROGRAM} --help` shows how it is written")
        return Exit.USAGE
    except RunnerError as error:
        _remark(str(error))
        return error.exit_code
    except BrokenPipeError:
        sys.stderr.close()  # whoever read us has gone
        return Exit.FILES
    except OSError as error:
        _remark(f"{error.filename or 'the terminal'}: {error.strerror or error}")
        return Exit.FILES


def _enter_tmux(home: Home, db: Path | None, options: tuple[str, ...]) -> int:
    """Become the client of a tmux session; comes back only where there can be none."""
    from console import tmux  # noqa: PLC0415 - only what is asked for is loaded

    refusal = tmux.why_not(os.environ)
    if refusal is not None:
        _remark(refusal)
        return Exit.REFUSED
    target = ("--db", str(db)) if db is not None else ("--home", str(home.root))
    program = shutil.which(sys.argv[0]) or PROGRAM
    words = tmux.words(
        (os.path.abspath(program), *target, *options), session=tmux.session(home, options), environ=os.environ
    )
    return os.execvp(words[0], words)  # noqa: S606 - a list of words, and no shell


def _draw(home: Home, db: Path | None, *, readonly: bool, look: Look, mouse: bool) -> int:
    # The library lets a change wait for its next frame; at 60 a second that was most of a key's way to the screen.
    os.environ.setdefault("TEXTUAL_FPS", FRAMES_S)
    # While it draws, the thread that reads would wait 5 ms for each of its turns.
    sys.setswitchinterval(SWITCH_S)
    from console.tui import ConsoleApp, Options  # noqa: PLC0415

    for name in ("COLUMNS", "LINES"):  # of some other terminal: ours says its size itself, and when it changes
        os.environ.pop(name, None)
    tui = ConsoleApp(home, db=db, options=Options(look=look, readonly=readonly))
    tui.run(mouse=mouse)
    tui.finish()
    if tui.return_code:
        return Exit.INTERNAL
    if not os.environ.get(OF_A_DEMO):
        typer.echo("The console ended; the runner goes on as it was.")
    return Exit.OK


def _print_json(home: Home, db: Path | None) -> int:
    from runner.snapshot import Reader, status_json  # noqa: PLC0415

    reader = Reader(home, db=db)
    try:
        now = SystemClock().now()
        answer = status_json(
            reader.vitals(now=now),
            reader.schedules(now=now),
            incidents=reader.incidents_open(),
            drills=reader.drills(),
        )
    finally:
        reader.close()
    typer.echo(json.dumps(answer, indent=2))
    return Exit.OK


def _remark(text: str) -> None:
    typer.echo(f"{PROGRAM}: {clean(text)}", err=True)
