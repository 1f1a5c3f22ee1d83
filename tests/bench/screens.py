"""Programs on pseudo-terminals with a stopwatch: when which bytes came, and what they cost."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from runner.home import Home

OURS = (str(Path(sys.executable).with_name("afk-console")), "--home")
STOCK = (sys.executable, "-m", "tests.bench.stock")
BARE = (sys.executable, "-m", "tests.bench.bare")
ROOT = Path(__file__).parents[2]
LONG_S = 60.0


@dataclass(slots=True)
class Screen:
    """One program and all that it sent."""

    process: subprocess.Popen[bytes]
    master: int
    began: float
    """When it was started, as `time.perf_counter` has it."""
    parts: list[tuple[float, bytes]] = field(default_factory=list)
    paused: bool = False
    """Nobody reads the terminal."""
    gone: bool = False
    """Nobody ever will."""
    reader: threading.Thread = field(default_factory=threading.Thread)

    def press(self, keys: bytes) -> float:
        """Press keys; when."""
        at = time.perf_counter()
        os.write(self.master, keys)
        return at

    def stop_reading(self) -> None:
        """Have nobody read the terminal any more."""
        self.gone = True
        self.reader.join()

    def hang_up(self) -> None:
        """Take the terminal away, once nobody reads it."""
        self.stop_reading()
        os.close(self.master)
        self.master = -1

    def seen(self, *texts: bytes, since: float) -> float:
        """When one of the texts was drawn, first after a moment. Raises AssertionError."""
        deadline = time.perf_counter() + LONG_S
        while True:
            drawn = b""
            for at, part in list(self.parts):
                if at >= since:
                    drawn += part
                    if any(text in drawn for text in texts):
                        return at
            assert time.perf_counter() < deadline, f"{texts} was not drawn: {drawn[-2000:]!r}"
            time.sleep(0.001)

    def sent(self, since: float, until: float) -> int:
        """Bytes drawn between two moments."""
        return sum(len(part) for at, part in list(self.parts) if since <= at < until)

    def quiet(self, seconds: float) -> None:
        """Wait until nothing was drawn for so long, or five times that."""
        deadline = time.perf_counter() + 5 * seconds
        while time.perf_counter() < deadline and time.perf_counter() - self.parts[-1][0] < seconds:
            time.sleep(0.005)

    def cpu_s(self) -> float:
        """Seconds on a core so far, of all threads."""
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def rss_mb(self) -> float:
        """Memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


@contextmanager
def on_screen(program: tuple[str, ...], home: Home) -> Iterator[Screen]:
    """The program on a terminal of 80x24 that takes what comes."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environ = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT)}
    for name in ("NO_COLOR", "COLUMNS", "LINES"):
        environ.pop(name, None)
    began = time.perf_counter()
    process = subprocess.Popen(
        [*program, str(home.root)],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        env=environ,
        cwd="/",
    )
    os.close(slave)
    screen = Screen(process, master, began)

    def read() -> None:
        while not screen.gone:
            if screen.paused:
                time.sleep(0.01)
                continue
            try:
                if select.select([master], [], [], 0.2)[0]:
                    part = os.read(master, 65536)
                    screen.parts.append((time.perf_counter(), part))
            except (OSError, ValueError):
                return

    screen.reader = threading.Thread(target=read, daemon=True)
    screen.reader.start()
    try:
        yield screen
    finally:
        process.kill()
        process.wait()
        screen.paused = False
        if screen.master >= 0:
            screen.hang_up()


@contextmanager
def busy(home: Home, rate: int) -> Iterator[None]:
    """A runner that writes so many events a second, in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.busy", str(home.root), str(rate)],
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"ready\n"
        yield
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def spin_until(condition: Callable[[], object]) -> float:
    """When it came to be, as exactly as can be told."""
    deadline = time.perf_counter() + LONG_S
    while not condition():
        assert time.perf_counter() < deadline, "it did not come"
        time.sleep(0.0002)
    return time.perf_counter()
