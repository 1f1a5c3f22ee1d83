"""Finding Python tasks in `tasks/*.py`: the part that imports them, which only ever runs in a child process.

`runner.work.declared` is the runner's side.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from runner.work.context import DECLARED
from runner.writable import opened, sentence, task_code


def import_files(folder: Path, *, tell: Callable[[Path], None] = lambda _path: None) -> list[str]:
    """Import every task file of a folder; a sentence for each that did not load. The files mark their own functions.

    `tell` is called with each file before it is imported.
    """
    problems = []
    for path in sorted(folder.glob("*.py")) if folder.is_dir() else []:
        tell(path)
        name = f"afk_tasks.{path.stem}"
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            problems.append(f"{path}: cannot be imported")
            continue
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:  # a task file may do anything
            problems.append(_problem(path, error))
    return problems


def _problem(path: Path, error: BaseException) -> str:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    line = lines[-1] if lines else error.lineno if isinstance(error, SyntaxError) else None
    where = f"{path}:{line}" if line else str(path)
    said = str(error).strip().split("\n", 1)[0] or type(error).__name__
    return f"{where}: {type(error).__name__}: {said}"


def main() -> None:
    """Print a line of JSON with each file before it is imported, and last what the folder declares as one object.

    Arguments: the folder, and after how many seconds it ends itself, for whoever asked may be gone by then.
    """
    signal.alarm(int(sys.argv[2]))
    os.umask(0o077)  # of what Python keeps of the files, which it loads again in their place
    out = os.dup(1)
    os.dup2(2, 1)  # what a task file prints while it loads is not our answer

    def tell(path: Path) -> None:
        os.write(out, json.dumps(str(path)).encode() + b"\n")

    folder = Path(sys.argv[1])
    open_to_others = opened(folder.parent, task_code(folder))
    problems = [sentence(open_to_others)] if open_to_others else import_files(folder, tell=tell)
    tasks = [
        {
            "name": declared.name,
            "file": declared.function.__code__.co_filename,
            "line": declared.function.__code__.co_firstlineno,
            "options": dict(declared.options),
        }
        for declared in DECLARED.values()
    ]
    with os.fdopen(out, "w", encoding="utf-8") as answer:
        json.dump({"tasks": tasks, "problems": problems}, answer, default=repr)


if __name__ == "__main__":
    main()
