"""`afk-runner demo`: the real programs at work on this project's own documents, with the built-in offline model.

Everything is as it would be for real, a runner in a process of its own included. Only the prices are pretend, and
whatever shows money first says so.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from runner.commands import Door, JobRequest
from runner.demo import home as demo_home
from runner.demo.documents import Document, Section, documents, sections
from runner.demo.summary import summary
from runner.errors import Exit, RunnerError, StoreBusy
from runner.home import Home
from runner.settings import load
from runner.snapshot import Health, Reader
from runner.store import events
from runner.store.db import Database
from runner.units import SECOND_MS, SystemClock, UnixMs
from runner.work.declared import discover

STARTS_WITHIN_S = 20.0
ENDS_WITHIN_S = 20.0
WORKS_WITHIN_S = 180.0
SOON_MS = 10 * SECOND_MS
"""A job that waits no longer than this is waited for: a retry, not a cap."""
UNDER_WAY = "SELECT 1 FROM jobs WHERE status = 'running' OR (status = 'pending' AND not_before <= :soon) LIMIT 1"
PACE_MS = 900
"""Between two digests on the console: at full speed all would be over before a person has looked."""
COUNT_S = 5
"""How long a word count pauses on the console."""
PRETEND = "the prices of this home are pretend: its model is built in and costs nothing, nobody is billed"

_LOOK_EVERY_S = 0.1
_CONSOLE = "import sys; from console.app import main; sys.exit(main())"

Say = Callable[[str], object]


class DemoFailed(RunnerError):
    """The runner of the demo did not start or did not end its work. Its home is left to be looked at."""

    exit_code = Exit.INTERNAL


def run_demo(option: Path | None, *, headless: bool, say: Say) -> int:
    """Make the home, work, say what happened; the exit code. Without a terminal it is headless. Raises RunnerError."""
    streams = (sys.stdin, sys.stdout, sys.stderr)
    headless = headless or not all(stream is not None and stream.isatty() for stream in streams)
    texts = documents()
    found = [section for text in texts for section in sections(text)]
    home = demo_home.place(option, os.environ)
    demo_home.make(home, texts, found)
    _fill(home, texts, found, pace_ms=0 if headless else PACE_MS)
    say(f"demo home: {home.root}, {len(found)} sections of {', '.join(text.name for text in texts)}")
    say(f"note: {PRETEND}")
    with _running(home) as runner:
        if headless:
            _work_off(home, runner)
        else:
            _watch(home)
            say("the console ended, and the demo's runner ends with it")
    for line in summary(home):
        say(line)
    return Exit.OK


def _fill(home: Home, texts: Sequence[Document], found: Sequence[Section], *, pace_ms: int) -> None:
    database = Database.open(home.db, create=True)
    try:
        with database.write() as db:
            events.record(db, now=SystemClock().now(), level=events.WARN, event="demo.prices", text=PRETEND)
    finally:
        database.close()
    config = load(home.root, environ=os.environ)
    tasks = {**config.tasks, **discover(home.tasks, zone=config.zone)}
    start = SystemClock().now()
    wanted = [JobRequest(task="headings", payload={})]
    wanted += [JobRequest(task="flaky", payload={"box": box}) for box in ("orders", "invoices")]
    pause_s = COUNT_S if pace_ms else 0
    for place, text in enumerate(texts, start=1):
        count = JobRequest(task="word_count", payload={"file": text.name, "pause_s": pause_s})
        wanted.append(count._replace(not_before=UnixMs(start + 2 * place * pause_s * SECOND_MS)))
    digests = [JobRequest(task="digest", payload=part.payload) for part in found]
    wanted += [each._replace(not_before=UnixMs(start + place * pace_ms)) for place, each in enumerate(digests)]
    door = Door(home)
    try:
        door.enqueue(tasks, wanted, max_attempts=config.retry.max_attempts)
    finally:
        door.close()


@contextmanager
def _running(home: Home) -> Iterator[subprocess.Popen[bytes]]:
    """A runner of the home in a session of its own, ended when the body is, however that ends."""
    before = {number: signal.signal(number, _end) for number in (signal.SIGTERM, signal.SIGHUP)}
    with (home.logs / "demo.txt").open("wb") as output:
        runner = subprocess.Popen(
            [sys.executable, "-P", "-m", "runner.cli", "run", "--home", str(home.root)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _wait(home, runner, _lives, STARTS_WITHIN_S)
        yield runner
    finally:
        runner.terminate()
        try:
            runner.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            runner.kill()  # its workers end with it
            runner.wait()
        for number, handler in before.items():
            signal.signal(number, handler)


def _lives(reader: Reader) -> bool:
    return reader.vitals(now=SystemClock().now()).runner.health is Health.LIVE


def _end(number: int, _: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _work_off(home: Home, runner: subprocess.Popen[bytes]) -> None:
    _wait(home, runner, _worked_off, WORKS_WITHIN_S)


def _worked_off(reader: Reader) -> bool:
    """Whether nothing runs and nothing is due within the next moments."""
    # In one look: between two a job that waits may be taken, and one that runs be put back, unseen by both.
    with reader.reading() as db:
        found = db.execute(UNDER_WAY, {"soon": SystemClock().now() + SOON_MS}).fetchone()
    return found is None


def _wait(home: Home, runner: subprocess.Popen[bytes], reached: Callable[[Reader], bool], within_s: float) -> None:
    """Look until it is so. Raises DemoFailed with the runner's last words."""
    until = time.monotonic() + within_s
    reader = Reader(home)
    try:
        while time.monotonic() < until and runner.poll() is None:
            try:
                if reached(reader):
                    return
            except StoreBusy:
                pass  # the runner writes; the next look comes soon
            time.sleep(_LOOK_EVERY_S)  # another process acts; there is nothing of ours to wait on
    finally:
        reader.close()
    words = (home.logs / "demo.txt").read_text("utf-8", "replace").strip().splitlines() or ["it said nothing"]
    how = (
        f"ended with exit code {runner.poll()}" if runner.poll() is not None else f"is not there after {within_s:.0f} s"
    )
    raise DemoFailed(f"the runner of {home.root} {how}: {words[-1]}")


def _watch(home: Home) -> None:
    """The console in the foreground, until the person leaves it."""
    # A Ctrl-C meant for the console reaches us as well; a handler, unlike SIG_IGN, is not passed on to it.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        argv = [sys.executable, "-P", "-c", _CONSOLE, "--home", str(home.root)]
        subprocess.run(argv, env={**os.environ, "AFK_DEMO": "1"}, check=False)
    finally:
        signal.signal(signal.SIGINT, before)
