"""`afk-console`: parse, then draw the screen, or print it once."""

from __future__ import annotations

import gc
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from console import terminal
from console.argv import Words, WrongWords, help_text, parse
from console.clean import clean
from console.look import ASCII, UNICODE, Look
from runner.errors import Exit, RunnerError
from runner.home import Home
from runner.units import SystemClock

PROGRAM = "afk-console"
FRAMES_S = "200"
"""At the most: nothing is drawn that did not change."""
SWITCH_S = 0.0005
"""How long one thread may keep the others from running."""
PIPE_WIDTH = 100
"""Columns of `--once` where no terminal says how many there are."""


def main() -> int:
    """Run the program; its exit code."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure: Any = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    try:
        return _obey(parse(sys.argv[1:]))
    except WrongWords as error:
        _remark(f"{error}; `{PROGRAM} --help` shows how it is written")
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


def _obey(words: Words) -> int:
    if "help" in words.switches:
        return _print(help_text(PROGRAM))
    if "version" in words.switches:
        from importlib.metadata import version  # noqa: PLC0415 - only what is asked for is loaded

        return _print(f"{PROGRAM} {version('afk-console')}")
    file = Path(words.db) if words.db is not None else None
    named = Path(words.home) if words.home is not None else None
    home = Home(file.parent) if file is not None else Home.find(named, os.environ)
    if words.switches & {"json", "once"}:
        return _print_state(home, file, words.switches)
    refusal = terminal.why_not(os.environ, sys.__stdin__, sys.__stderr__)
    if refusal is not None:
        _remark(refusal)
        return Exit.REFUSED
    enter = _enter_tmux if "tmux" in words.switches else _draw
    return enter(home, file, words.switches)


def _look(switches: frozenset[str]) -> Look:
    return ASCII if "ascii" in switches else UNICODE


def _enter_tmux(home: Home, db: Path | None, switches: frozenset[str]) -> int:
    """Become the client of a tmux session; comes back only where there can be none."""
    from console import tmux  # noqa: PLC0415 - only what is asked for is loaded

    refusal = tmux.why_not(os.environ)
    if refusal is not None:
        _remark(refusal)
        return Exit.REFUSED
    options = tuple(f"--{name}" for name in ("readonly", "ascii", "mouse") if name in switches)
    target = ("--db", str(db)) if db is not None else ("--home", str(home.root))
    program = shutil.which(sys.argv[0]) or PROGRAM
    words = tmux.words(
        (os.path.abspath(program), *target, *options), session=tmux.session(home, options), environ=os.environ
    )
    return os.execvp(words[0], words)  # noqa: S606 - a list of words, and no shell


def _draw(home: Home, db: Path | None, switches: frozenset[str]) -> int:
    # The library lets a change wait for its next frame; at 60 a second that was most of a key's way to the screen.
    os.environ.setdefault("TEXTUAL_FPS", FRAMES_S)
    # While it draws, the thread that reads would wait 5 ms for each of its turns.
    sys.setswitchinterval(SWITCH_S)
    gc.disable()  # nothing is garbage yet: looking for it took a tenth of the time until the first picture
    from console.tui import ConsoleApp, Options  # noqa: PLC0415

    for name in ("COLUMNS", "LINES"):  # of some other terminal: ours says its size itself, and when it changes
        os.environ.pop(name, None)
    tui = ConsoleApp(home, db=db, options=Options(look=_look(switches), readonly="readonly" in switches), made=_collect)
    tui.run(mouse="mouse" in switches)
    tui.finish()
    if tui.return_code:
        return Exit.INTERNAL
    return Exit.OK if os.environ.get(terminal.OF_A_DEMO) else _print("The console ended; the runner goes on as it was.")


def _collect() -> None:
    """From now on there is garbage; what was made so far stays to the end and is not looked at again."""
    gc.enable()
    gc.freeze()


def _print_state(home: Home, db: Path | None, switches: frozenset[str]) -> int:
    if "json" not in switches:
        from console.plain import once  # noqa: PLC0415 - only what is asked for is loaded

        width = shutil.get_terminal_size((PIPE_WIDTH, 24)).columns
        return _print(once(home, db=db, clock=SystemClock(), width=width, look=_look(switches)))
    import json  # noqa: PLC0415

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
    return _print(json.dumps(answer, indent=2))


def _print(text: str) -> int:
    print(text)
    sys.stdout.flush()  # here a reader who has gone is noticed
    return Exit.OK


def _remark(text: str) -> None:
    print(f"{PROGRAM}: {clean(text)}", file=sys.stderr)
