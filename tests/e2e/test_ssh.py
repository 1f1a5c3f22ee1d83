"""The console at the far end of a real ssh: the connection dies, the session does not, and the runner never notices."""

from __future__ import annotations

import fcntl
import getpass
import os
import pty
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.console.terminals import PROGRAM, Terminal
from tests.e2e.world import World, alive, eventually

SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
pytestmark = pytest.mark.skipif(
    not all((SSHD, shutil.which("ssh"), shutil.which("ssh-keygen"), shutil.which("tmux"))),
    reason="no sshd, ssh or tmux here",
)
CONFIG = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/client.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
"""


@dataclass(frozen=True, slots=True)
class Far:
    """A machine one logs in to: this one, through its loopback."""

    folder: Path
    port: int

    @contextmanager
    def login(self, *command: str, size: tuple[int, int] = (100, 30)) -> Iterator[Terminal]:
        """Run a command there on a terminal of its own, as `ssh -t` does."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        words = [
            *("ssh", "-tt", "-F", "none", "-p", str(self.port), "-i", str(self.folder / "client")),
            *("-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={self.folder / 'known'}"),
            *("-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR"),
            *(f"{getpass.getuser()}@127.0.0.1", shlex.join(command)),
        ]
        environ = {**os.environ, "TERM": "xterm-256color"}
        process = subprocess.Popen(
            words, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, env=environ, cwd="/"
        )
        os.close(slave)
        try:
            yield Terminal(process, master)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            process.wait()
            os.close(master)


@pytest.fixture
def far(tmp_path: Path) -> Iterator[Far]:
    """An sshd of this user on a free port, with keys of its own."""
    folder = tmp_path / "ssh"
    folder.mkdir(mode=0o700)
    for name in ("host", "client"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    if os.geteuid() == 0:  # as root it wants the folder that its service makes at boot
        with suppress(OSError):
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    daemon, port = _sshd(folder)
    try:
        yield Far(folder, port)
    finally:
        daemon.terminate()
        daemon.wait()


def _sshd(folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    """The daemon that listens, and where: it takes no socket of ours, so another one may be quicker to a free port."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        (folder / "config").write_text(CONFIG.format(port=port, folder=folder))
        with (folder / "log").open("wb") as log:
            daemon = subprocess.Popen(
                [str(SSHD), "-D", "-e", "-f", str(folder / "config")], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

        def said() -> str:
            return (folder / "log").read_text()

        eventually(lambda: "Server listening" in said() or daemon.poll() is not None, what="sshd listens")  # noqa: B023
        if daemon.poll() is None:
            return daemon, port
        if "already in use" not in said():
            pytest.skip(f"sshd does not start here: {said()[-300:]}")


def console_of(home: Path) -> list[int]:
    """Consoles that watch this home."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
            if os.fsencode(PROGRAM) in words[:2] and os.fsencode(home) in words and alive(int(entry.name)):
                found.append(int(entry.name))
    return found


def test_a_session_outlives_the_connection_and_is_joined_again(afk: World, far: Far) -> None:
    """The client is killed without a word; the next one finds the same console, with what is true by then."""
    afk.init("")
    runner = afk.start()
    sockets = far.folder / "tmux"
    sockets.mkdir(mode=0o700)
    joining = ("env", f"TMUX_TMPDIR={sockets}", PROGRAM, "--tmux", "--home", str(afk.home))
    try:
        with far.login(*joining) as first:
            first.read_until(b"live", seconds=60)
            first.press(b"6")
            first.read_until(b"following", seconds=60)
            consoles = console_of(afk.home)
            first.process.send_signal(signal.SIGKILL)
            first.process.wait()
        afk.afk("kill", "--reason", "while nobody was attached")

        with far.login(*joining) as second:
            second.read_until(b"STOPPED", seconds=60)
            second.read_until(b"following", seconds=60)
            assert len(consoles) == 1
            assert console_of(afk.home) == consoles, "the same console, on the tab where it was left"
            second.press(b"u")
            second.read_until(b"Resume the runner?", seconds=60)

            def resumed() -> bool:
                second.press(b"y")  # a dialog drops what comes too early
                second.drain(0.1)
                return not afk.status()["stop"]["set"]

            eventually(resumed, what="resumed through ssh")
            second.press(b"k")
            eventually((afk.home / "STOP").exists, what="the kill came through ssh")
    finally:
        for pid in console_of(afk.home):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    assert alive(runner.pid)
    eventually(lambda: not console_of(afk.home), what="its console gone, its server too")


def test_without_tmux_the_console_ends_with_its_connection(afk: World, far: Far) -> None:
    """No orphan is left that burns a core; the runner goes on."""
    afk.init("")
    runner = afk.start()
    with far.login(PROGRAM, "--home", str(afk.home)) as client:
        client.read_until(b"live", seconds=60)
        eventually(lambda: console_of(afk.home), what="a console")
        client.press(b"k")
        eventually((afk.home / "STOP").exists, what="the kill came through ssh")
        client.process.send_signal(signal.SIGKILL)
        client.process.wait()

        eventually(lambda: not console_of(afk.home), what="the console ended")
    assert alive(runner.pid)
