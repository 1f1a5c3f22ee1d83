"""What is to be ended is ended, also where the system shows little of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runner.home import Home
from runner.redact import Redactor
from runner.work import child, proc, processes
from runner.work.command import run_command
from tests.e2e.world import eventually

SLEEP = "import time; time.sleep(240)"


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", SLEEP, "one word", "/a/b"], process_group=0) as process:
        yield process
        process.kill()


def refuse(*_: object) -> list[str]:
    raise OSError(24, "Too many open files")


def test_without_descriptors_a_frozen_process_is_killed_all_the_same(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "listdir", refuse)

    processes.end_tree(sleeper.pid)

    assert sleeper.wait(timeout=60) == -signal.SIGKILL


def test_a_kill_follows_the_stop_whatever_comes_in_between(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes.Tree, "clear", refuse)

    with pytest.raises(OSError, match="Too many"):
        processes.end_tree(sleeper.pid)

    assert sleeper.wait(timeout=60) == -signal.SIGKILL


@pytest.mark.parametrize("linux", [proc.LINUX, False])
def test_words_are_whole_arguments(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, linux: bool
) -> None:
    monkeypatch.setattr(proc, "LINUX", linux)

    eventually(lambda: sleeper.pid in processes.running("one word", "/a/b"))  # a process that began has no words yet
    assert sleeper.pid not in processes.running("/a")


def test_the_ps_that_looks_is_not_what_is_seen() -> None:
    """Asked in a process of its own, for this one may have children of other tests."""
    looks = (
        "import os; from runner.work import proc, processes as p; proc.LINUX = False; print(p.descendants(os.getpid()))"
    )

    seen = subprocess.run([sys.executable, "-c", looks], capture_output=True, text=True, check=True)

    assert seen.stdout == "[]\n"


COMMAND = """
import json, os, sys
from runner.work import proc
from runner.work.command import run_command
proc.LINUX = False
os.setpgid(0, 0)
order = dict(command=["sh", "-c", "sleep 60 & echo said"], cwd="/", payload="", gate="", token="", child_home="/",
             key="k", n=1, max_output_tokens=None, env={}, agents=sys.argv[1], confine=None)
print(json.dumps(run_command(order)))
"""


def test_off_linux_a_leftover_that_holds_the_output_is_not_waited_for(tmp_path: Path) -> None:
    """No orphan falls to the worker there."""
    ran = subprocess.run([sys.executable, "-c", COMMAND, str(tmp_path)], capture_output=True, timeout=60, check=True)

    assert b'"outcome": "done"' in ran.stdout


def test_output_that_somebody_out_of_sight_holds_open_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = threading.Event()
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=SimpleNamespace(write=lambda _: heard.set(), flush=int)))
    monkeypatch.setattr(processes, "end_leftovers", lambda: heard.wait(60))
    monkeypatch.setattr("runner.work.command.LAST_LOOKS", 2)
    order: dict[str, Any] = {
        "command": ["sh", "-c", "sleep 600 & echo $!"],
        "cwd": str(tmp_path),
        "payload": "",
        "gate": "",
    }
    order |= {"token": "", "child_home": "/", "key": "k", "n": 1, "max_output_tokens": None, "env": {}}
    order |= {"agents": str(tmp_path / "agents"), "confine": None}

    answer = run_command(order)

    assert answer["outcome"] == "done"
    os.kill(int(json.loads(answer["result"])), signal.SIGKILL)  # it was said by whoever holds it open, and still lives


@pytest.mark.parametrize(("made", "said"), [(None, "does not exist; make it"), ("file", "is not a directory; make it")])
def test_a_folder_that_is_missing_is_not_blamed_on_the_command(tmp_path: Path, made: str | None, said: str) -> None:
    """The system has the same words for both."""
    cwd = tmp_path / "gone"
    if made is not None:
        cwd.write_text("")
    order: dict[str, Any] = {"command": ["ls"], "cwd": str(cwd), "payload": "", "gate": "", "confine": None}
    order |= {"token": "", "child_home": "/", "key": "k", "n": 1, "max_output_tokens": None, "env": {}}

    answer = run_command(order | {"agents": str(tmp_path / "agents")})

    assert answer["outcome"] == "dead"
    assert f"its cwd {cwd} {said}" in answer["error"]


async def test_a_worker_that_cannot_be_started_leaks_no_descriptor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _open_fds()
    pipe, calls = os.pipe, []

    def second_fails() -> tuple[int, int]:
        calls.append(1)
        return pipe() if len(calls) == 1 else (refuse(), 0)  # type: ignore[return-value]

    monkeypatch.setattr(os, "pipe", second_fails)
    with pytest.raises(OSError, match="Too many"):
        child.Child(home=Home(tmp_path), guard=lambda _: None, redactor=Redactor(()), heard=lambda _, __: None)

    assert not _open_fds() - before


async def test_a_worker_is_told_gone_though_its_end_goes_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[object] = []
    home = Home(tmp_path)
    home.work.mkdir(parents=True)
    worker = child.Child(
        home=home, guard=lambda _: None, redactor=Redactor(()), heard=lambda _, answer: heard.append(answer)
    )
    os.killpg(worker.pid, signal.SIGKILL)
    monkeypatch.setattr(child.Tree, "end", refuse)

    async with asyncio.timeout(60):
        while not heard:
            if worker._process.poll() is not None:
                with suppress(OSError):
                    worker.look()
            await asyncio.sleep(0.01)

    assert heard == [None]


def _open_fds() -> set[int]:
    return {fd for fd in range(256) if _is_open(fd)}


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems show no process's memory to its user")
def test_a_process_that_keeps_to_itself_is_closed_to_its_user_and_what_it_starts_is_not() -> None:
    """The kernel's own word for it, as whoever runs the tests may be root, who sees everything."""
    asks = "import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), flush=True)"
    both = f"from runner.work import processes as p; p.keep_to_itself(); {asks}; "
    both += f"import subprocess, sys; subprocess.run([sys.executable, '-c', {asks!r}])"

    seen = subprocess.run([sys.executable, "-c", both], capture_output=True, text=True, check=True)

    assert seen.stdout.split() == ["0", "1"]


STRAYS = """
import os, subprocess, sys, time
from runner.work import proc, processes
proc.SHOWS_CHILDREN = proc.SHOWS_CHILDREN and sys.argv[1] == "shown"
processes.adopt_orphans()
own = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(240)"])
below = os.pipe()
def fork(then):
    if os.fork() == 0:
        then()
        os._exit(0)
def walk():
    until = time.monotonic() + 240
    while time.monotonic() < until:
        if os.fork():
            os._exit(0)
        os.setsid()
        time.sleep(0.005 if proc.SHOWS_CHILDREN else 0.05)
def linger():
    os.setsid()
    fork(lambda: time.sleep(240))
    time.sleep(240)
for _ in range(300):
    fork(lambda: None)
fork(walk)
fork(linger)
os.close(below[1])
"""
"""A process with a child of its own and with what fell to it; the reading end of `below` ends with the last of that.

Where a look reads all processes of a busy machine, what walks on after 5 ms is met by chance alone: there it is slower.
"""

on_linux = pytest.mark.skipif(not proc.LINUX, reason="elsewhere orphans fall to the system")


def said(script: str, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script, *words], capture_output=True, timeout=200, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@on_linux
@pytest.mark.parametrize("children", ["shown", "hidden"])
def test_strays_are_ended_and_collected_and_a_child_of_ones_own_is_not(children: str) -> None:
    """Hundreds that nobody collected, one that forks and goes for ever, one with a child that holds a pipe open."""
    ends = """
while processes.end_strays(but={own.pid}):
    time.sleep(0.001)
print(own.poll(), [*proc.children(os.getpid())] == [own.pid], os.read(below[0], 1))
own.kill()
"""

    assert said(STRAYS + ends, children) == "None True b''\n"


@on_linux
@pytest.mark.parametrize("children", ["shown", "hidden"])
def test_a_look_ends_when_its_time_is_up_and_the_next_one_goes_on(children: str) -> None:
    """Whoever calls it has other things to do; with no time at all it does one."""
    ends = """
processes.MOST_S = -1.0
looks = 1
while processes.end_strays(but={own.pid}):
    looks += 1
print(looks > 300, [*proc.children(os.getpid())] == [own.pid])
own.kill()
"""

    assert said(STRAYS + ends, children) == "True True\n"


@on_linux
@pytest.mark.parametrize("children", ["shown", "hidden"])
def test_what_forks_and_goes_is_ended_below_a_process_that_is_frozen(children: str) -> None:
    """It stays in sight there, with all it leaves behind."""
    ends = """
top = os.fork()
if top == 0:
    processes.adopt_orphans()
    os.close(below[0])
    below = os.pipe()
    held = os.dup(below[1])
    fork(walk)
    time.sleep(240)
while not [*proc.children(top)]:
    time.sleep(0.001)
processes.end_tree(top)
print(os.waitpid(top, 0)[1], own.poll())
while processes.end_strays(but={own.pid}):
    time.sleep(0.001)
own.kill()
"""

    assert said(STRAYS + ends, children) == "9 None\n"


@on_linux
def test_who_is_below_whom() -> None:
    (above,) = processes.ancestors(os.getpid())[:1]
    with subprocess.Popen([sys.executable, "-c", SLEEP]) as process:
        assert proc.is_below(process.pid, os.getpid()) is True
        assert proc.is_below(process.pid, above) is True
        assert proc.is_below(os.getpid(), process.pid) is False
        process.kill()
    assert proc.is_below(process.pid, os.getpid()) is None, "it is gone"
