"""The child side: a warm process that runs one attempt at a time and is told so over a socket.

Payload lives here and only here. The process leads its own group and ends itself, its group and its descendants when
the pipe from the runner closes.
"""

from __future__ import annotations

import gc
import inspect
import json
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from runner.work import processes
from runner.work.context import DECLARED, AsyncContext, Context, Dead, GateRefused, Halted, Retry, Unusable

MAX_RESULT_CHARS = 1_000_000
MAX_ERROR_CHARS = 4_000

Answer = dict[str, Any]
"""`{"outcome": done|retry|dead|halted, "result": JSON text, "error": str, "after_ms": int, "unusable": bool}`"""


def main() -> None:
    """Serve attempts until the runner closes the socket. Arguments: socket fd, life pipe fd, tasks folder."""
    control, life, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    processes.adopt_orphans()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, _stay)
    # The kernel sends it to a group that its dying parent leaves with a stopped member: with us would go the sight of
    # what left the group.
    signal.signal(signal.SIGHUP, _stay)
    for fd in (control, life):
        os.set_inheritable(fd, False)  # what a payload starts must not keep the runner waiting
    threading.Thread(target=_die_with_runner, args=(life,), name="life", daemon=True).start()
    channel = socket.socket(fileno=control)
    broken = _load_tasks(folder)
    gc.freeze()
    me, threads = os.getpid(), _threads()
    channel.sendall(json.dumps({"ready": os.getpid()}).encode() + b"\n")
    with channel.makefile("rb") as lines:
        for line in lines:
            order = json.loads(line)
            # A command has its own TERM; what a payload set up for itself ends with its attempt.
            signal.signal(signal.SIGTERM, _stay if order["kind"] == "command" else _leave)
            answer = _attempt(order, broken)
            signal.signal(signal.SIGTERM, _stay)
            if os.getpid() != me:
                os._exit(1)  # a payload forked, and its child came back where only the worker belongs
            _flush()
            processes.end_leftovers()  # no process outlives the attempt that started it
            named = {"order": order["order"], "alone": _alone(threads)}
            channel.sendall(json.dumps(answer | named).encode() + b"\n")


def _die_with_runner(life: int) -> None:
    # What is to end the payload has to interrupt the thread it runs in: a handler alone waits for its next line.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGHUP, signal.SIGINT))
    while os.read(life, 1):
        pass
    try:
        processes.end_below(os.getpid())
    finally:
        os.killpg(0, signal.SIGKILL)


def _stay(*_: object) -> None:
    """A worker that left at TERM would let go of what its payload started; the KILL a second later takes all."""


def _leave(*_: object) -> None:
    """The payload may tidy up: its `finally` runs."""
    raise SystemExit("it was told to end")


def _threads() -> int:
    return len(sys._current_frames())  # also those that `threading` did not start


def _alone(threads: int) -> bool:
    """Whether no thread of the payload's runs on, given how many there were before; one that ends is waited for."""
    for _ in range(10):
        if _threads() <= threads:
            return True
        time.sleep(0.005)
    return False


def _load_tasks(folder: Path) -> str | None:
    """Import the task files; the error that kept one from loading, if any."""
    from runner.work.loader import import_files  # noqa: PLC0415 - only where tasks are run

    problems = import_files(folder)
    return "; ".join(problems) or None


def _attempt(order: Mapping[str, Any], broken: str | None) -> Answer:  # noqa: PLR0911 - one return a way to end
    try:
        if order["kind"] == "command":
            from runner.work.command import run_command  # noqa: PLC0415 - a python-only home never needs it

            return run_command(order)
        context = Context(
            gate=order["gate"],
            token=order["token"],
            key=order["key"],
            attempt=order["n"],
            task=order["task"],
            steps=order["steps"],
        )
        if order["kind"] == "prompt":
            from runner.work.agent import run_prompt  # noqa: PLC0415 - likewise

            return _answer_of(run_prompt(context, order))
        return _call(context, order, broken)
    except Dead as error:
        return {"outcome": "dead", "error": _told(error)}
    except Halted as error:
        return {"outcome": "halted", "error": _told(error)}
    except Retry as error:
        after_ms = int(max(0.0, error.after_s) * 1000)
        unusable = isinstance(error, Unusable)
        return {"outcome": "retry", "error": _told(error), "after_ms": after_ms, "unusable": unusable}
    except GateRefused as error:
        return {"outcome": "retry", "error": _told(error)}
    except (Exception, SystemExit, KeyboardInterrupt, GeneratorExit) as error:  # the one broad except: a job's own code
        traceback.print_exc()
        return {"outcome": "retry", "error": _told(error)}


def _call(context: Context, order: Mapping[str, Any], broken: str | None) -> Answer:
    declared = DECLARED.get(order["task"])
    if declared is None:
        why = f"; its file does not load: {broken}" if broken else ""
        return {"outcome": "dead", "error": f"no function is marked as task {order['task']!r}{why}"}
    payload = json.loads(order["payload"])
    _lead_to_gate(order)
    if inspect.iscoroutinefunction(declared.function):
        import asyncio  # noqa: PLC0415 - not every home awaits, and it doubles the time until a worker is ready

        return _answer_of(asyncio.run(declared.function(AsyncContext(context), payload)))
    return _answer_of(declared.function(context, payload))


def _lead_to_gate(order: Mapping[str, Any]) -> None:
    """An SDK client or an agent that a task starts by itself finds the gate, and not a login in the owner's home."""
    from runner.work import agents  # noqa: PLC0415 - a worker is ready sooner without it

    folder = Path(order["agents"], str(os.getpid()))
    with suppress(OSError):  # then an agent finds no settings at all
        agents.lay_out_once(folder, gate=order["gate"], token=order["token"])
    told = agents.addresses(gate=order["gate"], token=order["token"], folder=folder)
    os.environ.update(agents.habits(max_output_tokens=order["max_output_tokens"]) | told)


def _answer_of(value: object) -> Answer:
    try:
        result = json.dumps(value, ensure_ascii=False, allow_nan=False)
        result.encode()
    except (TypeError, ValueError, RecursionError) as error:
        return {"outcome": "dead", "error": f"it returned {type(value).__name__}, which is not JSON: {error}"}
    if len(result) > MAX_RESULT_CHARS:
        return {
            "outcome": "dead",
            "error": f"it returned {len(result):,} characters, {MAX_RESULT_CHARS:,} are the most; write a file instead",
        }
    return {"outcome": "done", "result": result}


def _told(error: BaseException) -> str:
    """The error in one line and, for eyes, where payload raised it. Errors that are sentences stand without a class."""
    ours = isinstance(error, Dead | Retry | Halted | GateRefused)
    said = (str(error) if ours else "".join(traceback.format_exception_only(error))).strip() or type(error).__name__
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not (ours and _is_ours(frame.filename))]
    where = f"\n  at {frames[-1].filename}:{frames[-1].lineno} in {frames[-1].name}" if frames else ""
    return (said[: MAX_ERROR_CHARS - len(where)] + where).encode("utf-8", "backslashreplace").decode()


def _is_ours(file: str) -> bool:
    return Path(file).parent == Path(__file__).parent


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # the payload closed it
            stream.flush()


if __name__ == "__main__":
    main()
