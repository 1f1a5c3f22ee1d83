"""Writers of many processes take turns, and a stopped one is not waited for without end."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runner.errors import StoreBusy, StoreError
from runner.store.turnstile import SOON_S, Turnstile

SOURCE = str(Path(__file__).parents[3])

HOLDER = """
import sys
from pathlib import Path
from runner.store.turnstile import Turnstile
stile = Turnstile(Path(sys.argv[1]) / "a", Path(sys.argv[1]) / "b")
with stile.turn(60):
    print("held", flush=True)
    sys.stdin.readline()
"""

GREEDY = """
import os, sys
from pathlib import Path
from runner.store.turnstile import Turnstile
folder = Path(sys.argv[1])
stile = Turnstile(folder / "a", folder / "b")
print("ready", flush=True)
sys.stdin.readline()
turns = open(folder / f"turns-{os.getpid()}", "wb", buffering=0)
while not (folder / "enough").exists():
    with stile.turn(120):
        if turns.tell() == 1:
            print("begun", flush=True)
        turns.write(b".")
        fd = os.open(folder / "inside", os.O_CREAT | os.O_EXCL)  # fails when two are inside
        os.close(fd)
        os.unlink(folder / "inside")
"""
PATIENCE_S = 60.0
"""How long a turn is waited for that must come, however busy the machine."""


@pytest.fixture
def stile(tmp_path: Path) -> Iterator[Turnstile]:
    made = Turnstile(tmp_path / "a", tmp_path / "b")
    yield made
    made.close()


@contextmanager
def child(script: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that runs a script; it has said its first word."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=SOURCE,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() in ("held", "ready")
        yield process
    finally:
        process.kill()
        process.communicate()


def waiting(*, but: Collection[threading.Thread] = ()) -> list[threading.Thread]:
    """Threads that wait for a turn. `but`: those of earlier tests, which may be about to end."""
    return [thread for thread in threading.enumerate() if thread.name == "turnstile" and thread not in but]


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_two_processes_are_never_inside_together_and_both_get_turns(stile: Turnstile, tmp_path: Path) -> None:
    """Two that want turns without pause: neither starves, and a visitor is let in between them."""
    with child(GREEDY, tmp_path) as one, child(GREEDY, tmp_path) as other:
        for greedy in (one, other):
            go(greedy)
            assert greedy.stdout is not None
            assert greedy.stdout.readline() == "begun\n"
        had = [tmp_path / f"turns-{greedy.pid}" for greedy in (one, other)]
        visits, turns, deadline = 0, [0, 0], time.monotonic() + PATIENCE_S
        while min(turns) < 10:
            assert time.monotonic() < deadline, f"while a visitor had {visits} turns the others had {turns}"
            with stile.turn(PATIENCE_S):
                assert not (tmp_path / "inside").exists()
                turns = [each.stat().st_size for each in had]
            visits += 1
        (tmp_path / "enough").touch()
        for greedy in (one, other):
            greedy.communicate(timeout=60)
        assert [greedy.returncode for greedy in (one, other)] == [0, 0], "two were inside together"


def test_a_stopped_holder_is_waited_for_only_so_long(stile: Turnstile, tmp_path: Path) -> None:
    """StoreBusy after the time given, again and again; and a turn as soon as the holder goes on."""
    with child(HOLDER, tmp_path) as holder:
        holder.send_signal(signal.SIGSTOP)
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(StoreBusy), stile.turn(2 * SOON_S):
                pass
            assert time.monotonic() - began >= 2 * SOON_S
        holder.send_signal(signal.SIGCONT)
        go(holder)
        with stile.turn(PATIENCE_S):
            pass
    with stile.turn(PATIENCE_S):  # those that gave up waiting have let go as well
        pass


@pytest.mark.parametrize("given_s", [0.003, SOON_S])
def test_who_only_looks_waits_its_time_and_leaves_no_lock_behind(
    stile: Turnstile, tmp_path: Path, given_s: float
) -> None:
    """And starts no thread, whichever of the two locks another one has."""
    before = waiting()
    with child(HOLDER, tmp_path):
        began = time.monotonic()
        with pytest.raises(StoreBusy), stile.turn(given_s):
            pass
        assert time.monotonic() - began >= given_s
        first = os.open(tmp_path / "a", os.O_RDWR)
        fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody stands next in line
        began = time.monotonic()
        with pytest.raises(StoreBusy), stile.turn(given_s):
            pass
        assert time.monotonic() - began >= given_s
        os.close(first)
        assert waiting(but=before) == []
    with stile.turn(PATIENCE_S):
        pass


def test_a_killed_holder_lets_go(stile: Turnstile, tmp_path: Path) -> None:
    with child(HOLDER, tmp_path) as holder:
        holder.kill()
        with stile.turn(PATIENCE_S):
            pass


def test_a_folder_that_went_while_waiting_is_a_store_error(tmp_path: Path) -> None:
    """Not an OSError, which nobody who writes expects; once the folder is back, it works again."""
    folder = tmp_path / "home"
    folder.mkdir()
    stile = Turnstile(folder / "a", folder / "b")
    with child(HOLDER, folder):
        with pytest.raises(StoreBusy), stile.turn(2 * SOON_S):
            pass
        folder.rename(tmp_path / "away")
        stile.close()
        with pytest.raises(StoreError, match="cannot be opened"), stile.turn(2 * SOON_S):
            pass
        (tmp_path / "away").rename(folder)
    with stile.turn(PATIENCE_S):
        pass
    stile.close()


def test_waiting_and_giving_up_leaks_no_files(stile: Turnstile, tmp_path: Path) -> None:
    before, threads = len(os.listdir("/proc/self/fd")), waiting()
    with child(HOLDER, tmp_path) as holder:
        for _ in range(10):
            with pytest.raises(StoreBusy), stile.turn(2 * SOON_S):
                pass
        assert len(os.listdir("/proc/self/fd")) <= before + 2  # the pipes to the holder
        assert len(waiting(but=threads)) == 1
        go(holder)
        holder.wait(timeout=60)
    deadline = time.monotonic() + PATIENCE_S
    while len(os.listdir("/proc/self/fd")) > before and time.monotonic() < deadline:
        with stile.turn(PATIENCE_S):
            pass
    assert len(os.listdir("/proc/self/fd")) <= before
