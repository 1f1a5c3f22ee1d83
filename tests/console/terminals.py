"""Real programs on real terminals: a pseudo-terminal of our own, and tmux."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.console.screen import DEADLINE_S

PROGRAM = str(Path(sys.executable).with_name("afk-console"))
PATIENT = (
    sys.executable,
    "-c",
    "import sys; from runner.commands import switch; switch.ROW_WAIT_S = 60.0; "
    "from console.app import main; sys.exit(main())",
)
"""The same, but for a kill that waits as long as a test may take for who holds the write lock."""
REDRAW = b"\x0c"
"""Has everything sent anew."""


@dataclass
class Terminal:
    """A program and the master end of its terminal."""

    process: subprocess.Popen[bytes]
    master: int
    output: bytes = b""

    def read_until(self, text: bytes, *, seconds: float = DEADLINE_S) -> None:
        """Read what it draws until the text was drawn."""
        deadline = time.monotonic() + seconds
        while text not in self.output:
            left = deadline - time.monotonic()
            assert left > 0, f"{text!r} was not drawn: {self.output[-2000:]!r}"
            if select.select([self.master], [], [], left)[0]:
                self.output += os.read(self.master, 65536)

    def drain(self, seconds: float) -> bytes:
        """Read what comes within the time; it is given back and kept."""
        deadline = time.monotonic() + seconds
        before = len(self.output)
        while (left := deadline - time.monotonic()) > 0:
            if select.select([self.master], [], [], left)[0]:
                try:
                    self.output += os.read(self.master, 65536)
                except OSError:
                    break  # the program has ended
        return self.output[before:]

    def read_until_quiet(self, *, seconds: float, most: int) -> None:
        """Read until no more than this comes within the time: what it begins with may be long on its way."""
        deadline = time.monotonic() + DEADLINE_S
        while len(sent := self.drain(seconds)) > most:
            assert time.monotonic() < deadline, f"it is never quiet: {sent[-2000:]!r}"

    def hang_up(self) -> None:
        """Take the terminal away, if that was not done before: its number may be another file's by now."""
        if self.master >= 0:
            os.close(self.master)
        self.master = -1

    def press(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def press_until(self, keys: bytes, text: bytes, *, seconds: float = DEADLINE_S) -> None:
        """Press again until the text was drawn: a key that comes before its list is on the screen means nothing."""
        deadline = time.monotonic() + seconds
        while text not in self.output:
            assert time.monotonic() < deadline, f"{text!r} was not drawn: {self.output[-2000:]!r}"
            self.press(keys)
            self.drain(0.5)


@contextmanager
def on_a_terminal(
    *args: str,
    size: tuple[int, int] = (80, 24),
    ignore_hup: bool = False,
    program: tuple[str, ...] = (PROGRAM,),
    **variables: str,
) -> Iterator[Terminal]:
    """Run `afk-console` on a pseudo-terminal."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
    command = [*program, *args]
    if ignore_hup:
        command = ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh", *command]
    environ = {**os.environ, "TERM": "xterm-256color"}
    environ.pop("NO_COLOR", None)
    environ |= variables
    process = subprocess.Popen(
        command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, env=environ, cwd="/"
    )
    os.close(slave)
    terminal = Terminal(process, master)
    try:
        yield terminal
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()
        terminal.hang_up()


class Tmux:
    """A tmux server of our own."""

    def __init__(self, socket: Path) -> None:
        self._command = ["tmux", "-S", str(socket), "-f", "/dev/null"]

    def run(self, *args: str) -> str:
        return subprocess.run([*self._command, *args], check=True, capture_output=True, text=True).stdout

    def screen(self) -> str:
        return self.run("capture-pane", "-p")

    def press(self, *keys: str) -> None:
        self.run("send-keys", *keys)

    def press_until(self, key: str, text: str) -> None:
        """Press the key again until the text is there: what is said goes after a while, and may be looked for late.

        One press too many is likely on a slow machine: it must be a key that does nothing else where the text is shown.
        """
        self._press_while(key, lambda screen: text not in screen)

    def press_while(self, key: str, text: str) -> None:
        """Press the key again as long as the text is there: a dialog drops what comes too early.

        One press too many is likely on a slow machine: it must be a key that means nothing once the text is gone.
        """
        self._press_while(key, lambda screen: text in screen)

    def _press_while(self, key: str, lasts: Callable[[str], bool]) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while lasts(screen := self.screen()):
            assert time.monotonic() < deadline, screen
            self.press(key)
            time.sleep(0.1)

    def until(self, text: str, *, seconds: float = DEADLINE_S) -> None:
        """Wait until the text is on the screen."""
        deadline = time.monotonic() + seconds
        while text not in (shown := self.screen()):
            assert time.monotonic() < deadline, f"{text!r} did not come:\n{shown}"
            time.sleep(0.05)
