"""The watchdog ends a process whose loop stands still, whatever holds it, and leaves where that was."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from runner.daemon import watchdog
from runner.daemon.watchdog import KEEP, Watchdog, last_stall
from runner.heartbeat import Beat
from runner.units import UnixMs
from tests.factories import NOW

LOOP = """
import asyncio, re, sys, time
from pathlib import Path
from runner.daemon.watchdog import Watchdog

def blocking(watchdog):
    watchdog.arm()
    time.sleep(600)

def holding(watchdog):
    watchdog.arm()
    re.match(r"(a+)+$", "a" * 60 + "b")

async def main():
    globals()[sys.argv[3]](Watchdog(Path(sys.argv[1]), stall_s=0.5, later=sys.argv[2] == "later"))

asyncio.run(main())
"""
TIMERS = {"later": 1, "signal": 14}
"""What a process ends with that one or the other timer ended."""


@pytest.mark.parametrize("timer", TIMERS)
@pytest.mark.parametrize("hang", ["blocking", "holding"])
def test_a_loop_that_stands_still_is_ended_and_shows_where(tmp_path: Path, hang: str, timer: str) -> None:
    """A call that waits, and a regular expression that holds the interpreter so that no Python thread can run."""
    done = subprocess.run([sys.executable, "-c", LOOP, str(tmp_path), timer, hang], check=False, timeout=120)

    assert done.returncode == TIMERS[timer]
    stall = last_stall(tmp_path)
    assert stall is not None
    assert f"{hang} (<string>:" in stall.where
    assert not stall.frozen


WAITING = """
import asyncio, sqlite3, sys, threading, time
from pathlib import Path
from runner.daemon.watchdog import Watchdog
from runner.store.db import Database
from runner.store.writer import Writer

folder, how, timer = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
Database.write.__kwdefaults__["wait_s"] = 600.0

def calls(thread):
    frame, names = sys._current_frames()[thread.ident], []
    while frame is not None:
        names.append(frame.f_code.co_name)
        frame = frame.f_back
    return names

def arm_once_it_waits(watchdog, loop):
    (writer,) = (thread for thread in threading.enumerate() if thread.name == "writer")
    while loop._ready or calls(threading.main_thread())[0] != "select":
        time.sleep(0.01)
    while how == "locked" and "_begin" not in calls(writer):
        time.sleep(0.01)
    watchdog.arm()

async def main():
    writer = Writer(Database.open(folder / "agent.db", create=True))
    await writer.write(lambda db: None)
    watchdog = Watchdog(folder, stall_s=0.5, later=timer == "later")
    if how == "locked":
        other = sqlite3.connect(folder / "agent.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
    threading.Thread(target=arm_once_it_waits, args=(watchdog, asyncio.get_running_loop())).start()
    if how == "locked":
        await writer.write(lambda db: None)
    await asyncio.sleep(600)

asyncio.run(main())
"""
"""Armed once the loop waits for events, so that no slow step before that is what is found."""


@pytest.mark.parametrize("timer", TIMERS)
@pytest.mark.parametrize(("how", "frozen"), [("idle", True), ("locked", False)])
def test_a_loop_that_waits_for_events_did_not_hang(tmp_path: Path, how: str, *, frozen: bool, timer: str) -> None:
    """It is what a process that was frozen leaves, unless its database is what it waits for: that is named then."""
    done = subprocess.run([sys.executable, "-c", WAITING, str(tmp_path), how, timer], check=False, timeout=120)

    assert done.returncode == TIMERS[timer]
    stall = last_stall(tmp_path)
    assert stall is not None
    assert stall.frozen is frozen
    assert ("(store/" in stall.where) is not frozen


@pytest.mark.parametrize(
    ("late_s", "slept_s", "frozen"), [(46, 0, False), (600, 0, True), (600, 590, False), (-60, 0, False)]
)
def test_a_watchdog_that_came_much_too_late_was_frozen_as_well(
    tmp_path: Path, late_s: int, slept_s: int, *, frozen: bool
) -> None:
    """A loop that thawed first may be anywhere. A machine that slept, and the beat of another, prove nothing."""
    dump = tmp_path / "stall.txt"
    dump.write_text('Thread 0x01 (most recent call first):\n  File "/a/b/c.py", line 7 in run_forever\n')
    os.utime(dump, (NOW / 1000, NOW / 1000))
    beat = Beat(at=UnixMs(NOW - late_s * 1000), pid=1, fault=None, asleep_s=100.0)

    stall = last_stall(tmp_path, beat=beat, asleep_s=100.0 + slept_s, stall_s=45.0)

    assert stall is not None
    assert stall.frozen is frozen


@pytest.mark.parametrize(("turned_after_s", "thawed"), [(3_601, False), (3_606, True)])
def test_a_loop_that_turns_long_after_its_time_was_frozen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turned_after_s: int, *, thawed: bool
) -> None:
    """One whose database gives no answer turns as well, but not when its time is over."""
    now_s = 1_000.0
    monkeypatch.setattr(watchdog, "time", SimpleNamespace(monotonic=lambda: now_s))
    dog = Watchdog(tmp_path, stall_s=3_600)
    dog.arm()
    now_s += turned_after_s

    assert dog.thawed is thawed
    dog.arm()
    assert not dog.thawed
    dog.close()


TURNING = """
import faulthandler, signal, sys, time
from pathlib import Path
from types import SimpleNamespace
from runner.daemon import watchdog

now_s, fires_at = 0.0, None
watchdog.time = SimpleNamespace(monotonic=lambda: now_s)
start, cancel = faulthandler.dump_traceback_later, faulthandler.cancel_dump_traceback_later

def started(after_s, **how):
    global fires_at
    fires_at = time.monotonic() + after_s
    start(after_s, **how)

def cancelled():
    global fires_at
    fires_at = None
    cancel()

faulthandler.dump_traceback_later, faulthandler.cancel_dump_traceback_later = started, cancelled
later = sys.argv[2] == "later"

def left_s():
    if not later:
        return signal.getitimer(signal.ITIMER_REAL)[0]
    return 0.0 if fires_at is None else fires_at - time.monotonic()

def let_pass(passed_s):
    global now_s
    now_s += passed_s
    if later:
        started(left_s() - passed_s, exit=True)
    else:
        signal.setitimer(signal.ITIMER_REAL, left_s() - passed_s)

dog = watchdog.Watchdog(Path(sys.argv[1]), stall_s=600.0, later=later)
dog.arm()
for _ in range(5):  # twice as long as it may stand still
    let_pass(240.0)
    dog.arm()
    print(left_s() > 480.0)
dog.close()
print(left_s())
"""
"""Turns on a clock moved by hand, which takes its time from the timer too: the timer itself is the real one."""


@pytest.mark.parametrize("timer", TIMERS)
def test_a_loop_that_turns_is_left_alone_and_nothing_fires_after_the_end(tmp_path: Path, timer: str) -> None:
    """Each turn gives it the whole time again, and the end leaves no timer behind."""
    done = subprocess.run(
        [sys.executable, "-c", TURNING, str(tmp_path), timer], check=False, timeout=120, stdout=subprocess.PIPE
    )

    assert done.returncode == 0
    assert done.stdout.split() == [b"True"] * 5 + [b"0.0"]
    assert last_stall(tmp_path) is None


def test_a_dump_is_kept_apart_when_the_next_one_watches(tmp_path: Path) -> None:
    """And only the newest of them."""
    for number in range(KEEP + 2):
        (tmp_path / f"stall-2026010{number}T000000Z.txt").write_text("old\n")
    (tmp_path / "stall.txt").write_text('Thread 0x01 (most recent call first):\n  File "/a/b/c.py", line 7 in wait\n')
    stall = last_stall(tmp_path)
    assert stall is not None
    assert stall.where == "wait (b/c.py:7)"

    Watchdog(tmp_path, stall_s=60).close()

    assert last_stall(tmp_path) is None
    assert "line 7 in wait" in stall.dump.read_text()
    assert len(list(tmp_path.glob("stall-*.txt"))) == KEEP


@pytest.mark.parametrize("words", ["Timeout (0:00:45)!\n", "\x00\xff nothing of the kind\n"])
def test_a_dump_without_a_stack_still_tells_of_a_stall(tmp_path: Path, words: str) -> None:
    (tmp_path / "stall.txt").write_text(words)

    stall = last_stall(tmp_path)

    assert stall is not None
    assert stall.where == "somewhere the dump does not show"
