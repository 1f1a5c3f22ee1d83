"""What a payload can do to its worker costs one attempt; nothing of it outlives the attempt or the runner."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from runner.units import MINUTE_MS
from tests.e2e import patient
from tests.e2e.clocks import Clocks
from tests.e2e.world import World, alive, eventually

TOML = """
[runner]
workers = 2
stop_grace = "300ms"
[retry]
max_attempts = 2
base = "10ms"
"""

TASKS = """
import ctypes, os, re, signal, subprocess, sys, time
from runner import task

HOME = os.path.dirname(os.path.dirname(__file__))

def note(pid):
    fd = os.open(os.path.join(HOME, "pids"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, f"{pid}\\n".encode())
    os.close(fd)

def linger():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    note(os.getpid())
    while True:
        time.sleep(3600)

def fork(then):
    if os.fork() == 0:
        then()
        os._exit(0)

def daemon():
    # twice forked in a session of its own, its parent gone: nothing but its origin leads to the worker
    os.setsid()
    fork(linger)

def brood():
    open(os.path.join(HOME, "pids"), "w").close()
    fork(linger)
    fork(daemon)
    while len(open(os.path.join(HOME, "pids")).readlines()) < 2:
        time.sleep(0.01)

def regex():
    note(os.getpid())
    re.match(r"(a+)+$", "a" * 64 + "b")

def crash():
    ctypes.string_at(0)

@task("stubborn", on_timeout="halt")
def stubborn(ctx, payload):
    brood()
    linger()  # notes itself

@task("again", on_timeout="retry")
def again(ctx, payload):
    if ctx.attempt == 1:
        brood()
        linger()
    return "done at last"

@task("stuck", on_timeout="halt")
def stuck(ctx, payload):
    brood()
    regex()

@task("quits")
def quits(ctx, payload):
    brood()
    {"exit": lambda: os._exit(3), "crash": crash, "sys": lambda: sys.exit(3)}[payload["how"]]()

@task("fine")
def fine(ctx, payload):
    return os.getpid()

@task("prints")
def prints(ctx, payload):
    print("ordinary words")
    print("x" * payload["filler"] + payload["secret"] + "y" * payload["after"])
    sys.stderr.write("last words\\n")
    return payload["secret"]

@task("tidy")
def tidy(ctx, payload):
    try:
        note(os.getpid())
        time.sleep(3600)
    finally:
        open(os.path.join(HOME, "tidied"), "w").close()
"""

SHELL = """
[tasks.shell]
kind = "command"
command = ["sh", "-c", '''
trap "" TERM
(setsid sh -c "echo \\$\\$ >> ../pids; sleep 3600" &)
echo $$ >> ../pids
sleep 3600
sleep 3600
''']
"""


def pids(afk: World, count: int) -> list[int]:
    """The processes a payload noted down, once there are so many of them."""
    path = afk.home / "pids"

    def noted() -> list[int]:
        found = [int(line) for line in path.read_text().split()] if path.exists() else []
        return found if len(found) >= count else []

    return eventually(noted, what=f"{count} processes noted")


def gone(*found: int) -> bool:
    """Whether none of them lives."""
    return not any(alive(pid) for pid in found)


def ended(afk: World, key: str) -> dict[str, Any]:
    """The job, once it has ended."""
    return eventually(lambda: (job := afk.json("job", key))["status"] not in ("pending", "running") and job, what=key)


@pytest.mark.parametrize("task", ["stubborn", "stuck", "shell"])
def test_an_attempt_that_cannot_be_asked_to_end_is_ended(afk: World, task: str) -> None:
    """Past `max_seconds` the worker, its children and a daemon of theirs are gone, and the job is halted."""
    afk.init(TOML + SHELL, tasks=TASKS)
    clocks = Clocks(afk)
    runner = afk.start()
    key = afk.json("enqueue", task, "--max-seconds", "600")["key"]
    found = pids(afk, 2 if task == "shell" else 3)

    clocks.go_on(10 * MINUTE_MS)
    job = ended(afk, key)

    assert job["status"] == "halted"
    assert [each["outcome"] for each in job["attempts_log"]] == ["halted"]
    assert "limit of 10m" in job["attempts_log"][0]["error"]
    eventually(lambda: gone(*found), what="every process of the attempt gone")
    assert afk.json("enqueue", "fine")["created"]
    eventually(lambda: afk.counts().get("done") == 1, what="the next job done")
    eventually(lambda: len(afk.workers(runner)) == 2, what="the worker replaced")


def test_two_attempts_at_once_have_each_its_own_time(afk: World) -> None:
    afk.init(TOML, tasks=TASKS)
    afk.start()
    limits = {
        afk.json("enqueue", "stuck", "--key", f"for-{limit}", "--max-seconds", limit)["key"]: limit for limit in "31"
    }

    jobs = {key: ended(afk, key) for key in limits}

    assert {job["status"] for job in jobs.values()} == {"halted"}
    errors = {key: job["attempts_log"][0]["error"] for key, job in jobs.items()}
    assert all(f"limit of {limit}s" in errors[key] for key, limit in limits.items())


def test_an_attempt_out_of_time_is_tried_again_where_the_task_says_so(afk: World) -> None:
    """`on_timeout = "retry"`: the job comes back, one attempt poorer."""
    afk.init(TOML, tasks=TASKS)
    clocks = Clocks(afk)
    afk.start()
    key = afk.json("enqueue", "again", "--max-seconds", "600")["key"]
    found = pids(afk, 3)

    clocks.go_on(10 * MINUTE_MS)
    job = ended(afk, key)

    assert job["status"] == "done"
    assert [each["outcome"] for each in job["attempts_log"]] == ["retry", "done"]
    eventually(lambda: gone(*found), what="every process of the first attempt gone")


def test_a_cancelled_attempt_leaves_nothing_behind(afk: World) -> None:
    """A person's cancel ends a running command that ignores TERM, and the daemon it started."""
    afk.init(TOML + SHELL, tasks=TASKS)
    afk.start()
    key = afk.json("enqueue", "shell")["key"]
    found = pids(afk, 2)

    afk.afk("cancel", key)

    assert ended(afk, key)["status"] == "cancelled"
    eventually(lambda: gone(*found), what="every process of the attempt gone")


def test_a_python_task_that_is_cut_may_tidy_up(afk: World) -> None:
    """The TERM before the KILL runs its `finally`."""
    afk.init(TOML, tasks=TASKS)
    afk.runs = patient.RUNS
    afk.start()
    key = afk.json("enqueue", "tidy")["key"]
    pids(afk, 1)

    afk.afk("cancel", key)

    assert ended(afk, key)["status"] == "cancelled"
    assert (afk.home / "tidied").exists()


@pytest.mark.parametrize("how", ["exit", "crash", "sys"])
def test_a_payload_that_ends_its_process_costs_one_attempt(afk: World, how: str) -> None:
    """os._exit, a segfault and sys.exit: an attempt each, the cause named, and no child left."""
    afk.init(TOML, tasks=TASKS)
    afk.start()
    key = afk.json("enqueue", "quits", f'{{"how": "{how}"}}')["key"]

    job = ended(afk, key)

    assert job["status"] == "dead"
    assert [each["outcome"] for each in job["attempts_log"]] == ["retry", "retry"]
    said = {"exit": "exit code 3", "crash": "SIGSEGV", "sys": "SystemExit: 3"}[how]
    assert said in job["attempts_log"][0]["error"]
    eventually(lambda: gone(*pids(afk, 2)), what="no child of the dead worker")
    afk.afk("enqueue", "fine")
    eventually(lambda: afk.counts().get("done") == 1, what="the next job done")


@pytest.mark.parametrize("task", ["stubborn", "stuck", "shell"])
def test_nothing_outlives_a_killed_runner(afk: World, task: str) -> None:
    """SIGKILL of the runner ends worker, children and daemons, whatever they are busy with; the job comes back."""
    afk.init(TOML + SHELL, tasks=TASKS)
    runner = afk.start()
    key = afk.json("enqueue", task)["key"]
    found = pids(afk, 2 if task == "shell" else 3)

    afk.kill9(runner)

    eventually(lambda: gone(*found) and not afk.processes(), what="no process left")
    (afk.home / "pids").unlink()
    afk.start()
    pids(afk, 2)
    job = afk.json("job", key)
    assert job["status"] == "running"
    assert job["attempts"] == 0
    assert [each["outcome"] for each in job["attempts_log"]] == ["rescued", None]


@pytest.mark.parametrize("task", ["stubborn", "shell"])
def test_workers_end_themselves_when_runner_and_guard_are_killed(afk: World, task: str) -> None:
    """Without the guard the pipe alone tells a worker that its runner is gone."""
    afk.init(TOML + SHELL, tasks=TASKS)
    runner = afk.start()
    afk.afk("enqueue", task)
    found = pids(afk, 2 if task == "shell" else 3)

    _kill_with_guard(afk, runner)

    eventually(lambda: gone(*found) and not afk.processes(), what="no process left")


def test_a_new_runner_ends_what_a_dead_guard_could_not(afk: World) -> None:
    """A worker stuck in a regular expression survives runner and guard; no work starts before it is gone."""
    afk.init(TOML, tasks=TASKS)
    runner = afk.start()
    afk.afk("enqueue", "stuck")
    found = pids(afk, 3)
    _kill_with_guard(afk, runner)
    (afk.home / "pids").unlink()

    afk.start()
    second = pids(afk, 3)

    assert gone(*found)
    assert not set(found) & set(second)


def _kill_with_guard(afk: World, runner: subprocess.Popen[bytes]) -> None:
    """Both stopped first, so that the one cannot see the other go."""
    guards = afk.guards(runner)
    assert guards
    runner.send_signal(signal.SIGSTOP)
    for pid in guards:
        os.kill(pid, signal.SIGKILL)
    afk.kill9(runner)


def test_a_killed_guard_is_replaced(afk: World) -> None:
    """The runner works on, and the new guard knows the workers."""
    afk.init(TOML, tasks=TASKS)
    runner = afk.start()
    afk.afk("enqueue", "stubborn")
    found = pids(afk, 3)
    (first,) = afk.guards(runner)

    os.kill(first, signal.SIGKILL)
    eventually(lambda: afk.guards(runner) not in ([], [first]), what="another guard")
    eventually(lambda: "guard.restarted" in (afk.home / "logs" / "runner.jsonl").read_text(), what="it is said")
    assert not gone(*found), "the attempt goes on"
    afk.kill9(runner)

    eventually(lambda: gone(*found) and not afk.processes(), what="no process left")


def test_output_is_kept_with_a_limit_and_without_secrets(afk: World) -> None:
    """A file per attempt, its tail on the row; a secret is taken out wherever the reading cuts it."""
    secret = "sk-ant-0123456789-abcdefghij"
    upstream = '\n[upstreams.paid]\nurl = "http://127.0.0.1:9"\nkey = "env:PAID_KEY"\n'
    afk.init(TOML + upstream, tasks=TASKS)
    (afk.home / ".env").write_text(f"PAID_KEY={secret}\n")
    (afk.home / ".env").chmod(0o600)
    afk.start()
    # Cut by a pipe's buffer, by what is read at once, and by where the tail begins.
    fillers = [(1, 1), (65_536 - 15 - 20, 10), (2 * 65_536 - 40, 3_970), (3_000_000, 3_985)]
    lines = [
        f'{{"task": "prints", "payload": {{"secret": "{secret}", "filler": {filler}, "after": {after}}}}}'
        for filler, after in fillers
    ]

    afk.afk("enqueue", "--lines", stdin="\n".join(lines))
    eventually(lambda: afk.counts().get("done") == len(fillers), what="all printed")

    files = sorted((afk.home / "logs" / "attempts").iterdir())
    assert len(files) == len(fillers)
    for path, (filler, after) in zip(files, fillers, strict=True):
        text = path.read_text()
        assert "ordinary words" in text
        assert text.endswith("last words\n")
        assert len(text) == len("ordinary words\n") + filler + len("[redacted]") + after + len("\nlast words\n")
    tails = [row[0] for row in afk.sql("SELECT tail FROM attempts")]
    assert all(tail.endswith("last words\n") for tail in tails)
    assert all(len(tail) <= 4_000 for tail in tails)
    for piece in (secret, secret[:12], secret[-12:]):
        assert not any(piece in tail for tail in tails)
        assert not any(piece in path.read_text() for path in files)
    assert not any(secret in row[0] for row in afk.sql("SELECT result FROM jobs"))


def test_output_without_end_is_cut_and_harms_nobody(afk: World) -> None:
    """Ten megabytes are kept of a flood, and the runner goes on with its other work."""
    flood = '\n[tasks.flood]\nkind = "command"\ncommand = ["yes", "water"]\n'
    afk.init(TOML + flood, tasks=TASKS)
    clocks = Clocks(afk)
    afk.start()
    key = afk.json("enqueue", "flood", "--max-seconds", "600")["key"]
    path = afk.home / "logs" / "attempts" / f"{afk.one('SELECT id FROM jobs')}-1.log"
    eventually(lambda: path.exists() and path.stat().st_size >= 10_000_000, what="the limit reached")

    afk.afk("enqueue", "fine")

    eventually(lambda: afk.counts().get("done") == 1, what="the other job done")
    clocks.go_on(10 * MINUTE_MS)
    assert ended(afk, key)["status"] == "halted"
    assert path.stat().st_size < 10_100_000
    assert "was not kept" in path.read_bytes()[-100:].decode()
    tail = afk.one("SELECT tail FROM attempts ORDER BY job_id LIMIT 1")
    assert "\nwater\n[" in tail
    assert tail.endswith("only the first 10,000,000 are in its file]")


def test_a_worker_is_recycled_after_so_many_jobs(afk: World) -> None:
    """Three jobs a process, whatever waits; a recycled worker is no failure."""
    afk.init("[runner]\nworkers = 1\nrecycle_after = 3\n", tasks=TASKS)
    afk.start()

    afk.afk("enqueue", "--lines", stdin="\n".join(f'{{"task": "fine", "key": "f{n}"}}' for n in range(10)))
    eventually(lambda: afk.counts().get("done") == 10, what="all done")

    by_process = [row[0] for row in afk.sql("SELECT count(*) FROM jobs GROUP BY result ORDER BY count(*) DESC")]
    assert by_process == [3, 3, 3, 1]
    assert afk.one("SELECT count(*) FROM events WHERE event = 'worker.failed'") == 0


FORGER = r"""
import os, signal, stat, threading, time
from runner import task

def forge(*_):
    for fd in range(3, 64):
        try:
            if stat.S_ISSOCK(os.fstat(fd).st_mode):
                os.write(fd, b'{"outcome": "done", "result": "\\"forged\\""}\n')
        except OSError:
            pass

@task("forger")
def forger(ctx, payload):
    signal.signal(signal.SIGALRM, forge)
    signal.setitimer(signal.ITIMER_REAL, 0.2, 0.01)

@task("babbler")
def babbler(ctx, payload):
    for fd in range(3, 64):
        try:
            if stat.S_ISSOCK(os.fstat(fd).st_mode):
                os.write(fd, b"[" * 100_000 + b"\n")
        except OSError:
            pass
    time.sleep(3600)

@task("leaves_thread")
def leave(ctx, payload):
    threading.Thread(target=time.sleep, args=(3600,)).start()
    return os.getpid()

@task("process")
def process(ctx, payload):
    return os.getpid()

@task("honest")
def honest(ctx, payload):
    until = time.monotonic() + 1
    while time.monotonic() < until:
        time.sleep(0.1)
    return "honest"
"""


def test_what_an_attempt_left_behind_cannot_answer_for_the_next_one(afk: World) -> None:
    """It goes on writing answers to the worker's socket; the attempt after it ends by its own word alone."""
    afk.init("[runner]\nworkers = 1\n", tasks=FORGER)
    afk.start()

    afk.afk("enqueue", "--lines", stdin='{"task": "forger", "key": "1"}\n{"task": "honest", "key": "2"}\n')

    assert ended(afk, "2")["result"] == "honest"


def test_a_worker_that_sends_no_answer_is_ended_and_told_so(afk: World) -> None:
    """Nobody looks for whoever killed it: it was the runner."""
    afk.init("[runner]\nworkers = 1\n[retry]\nmax_attempts = 1\n", tasks=FORGER)
    afk.start()

    afk.afk("enqueue", "--lines", stdin='{"task": "babbler", "key": "1"}\n{"task": "honest", "key": "2"}\n')

    error = "its worker died in the middle of it (ended by the runner: what it sent is no answer)"
    assert ended(afk, "1")["error"] == error
    assert ended(afk, "2")["result"] == "honest"


def test_a_thread_that_an_attempt_left_running_meets_no_other_attempt(afk: World) -> None:
    """Its worker is replaced, which is no failure; an attempt that left none keeps its worker."""
    afk.init("[runner]\nworkers = 1\n", tasks=FORGER)
    afk.start()

    tasks = ["process", "leaves_thread", "process"]
    afk.afk(
        "enqueue", "--lines", stdin="\n".join(f'{{"task": "{task}", "key": "{n}"}}' for n, task in enumerate(tasks))
    )

    first, second, third = (ended(afk, str(n))["result"] for n in range(3))
    assert first == second
    assert third != second
    assert afk.one("SELECT count(*) FROM events WHERE event = 'worker.failed'") == 0


def test_no_key_of_the_owner_is_in_a_workers_environment(afk: World) -> None:
    """Neither the runner's environment nor `.env` reaches a payload."""
    afk.init(TOML, tasks=TASKS)
    runner = afk.start(env={"ANTHROPIC_API_KEY": "sk-ant-not-for-payloads", "HTTPS_PROXY": "http://127.0.0.1:9"})

    for pid in eventually(lambda: afk.workers(runner)):
        words = Path(f"/proc/{pid}/environ").read_bytes()
        assert b"not-for-payloads" not in words
        assert b"PROXY" not in words


def test_a_hangup_takes_no_worker(afk: World) -> None:
    """The kernel sends one to the group of a worker that was frozen while its runner died; it stays, to be followed."""
    afk.init(TOML + SHELL, tasks=TASKS)
    runner = afk.start()
    afk.afk("enqueue", "shell")
    found = pids(afk, 2)
    workers = eventually(lambda: len(there := afk.workers(runner)) == 2 and there, what="both workers")
    eventually(lambda: all(hears(worker, signal.SIGHUP) for worker in workers), what="both up, and not only begun")

    for worker in workers:
        os.kill(worker, signal.SIGHUP)
    key = afk.json("enqueue", "fine")["key"]

    assert ended(afk, key)["result"] in workers
    assert not gone(*found)
    assert {*afk.workers(runner)} == {*workers}


def test_only_the_thread_that_runs_a_payload_is_interrupted(afk: World) -> None:
    """A TERM that another takes, as one may after a freeze, would find the payload asleep, and its end untidy."""
    afk.init(TOML, tasks=TASKS)
    afk.start()
    afk.afk("enqueue", "tidy")
    (worker,) = pids(afk, 1)
    threads = {int(thread.name) for thread in Path(f"/proc/{worker}/task").iterdir()}

    taken = {
        (thread, number)
        for thread in threads
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
        if not in_mask(thread, "SigBlk", number)
    }

    assert len(threads) > 1
    assert {thread for thread, _ in taken} == {worker}


def hears(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler of its own for a signal."""
    return in_mask(pid, "SigCgt", number)


def in_mask(tid: int, name: str, number: signal.Signals) -> bool:
    """Whether a signal is in one of the masks of a thread."""
    status = Path(f"/proc/{tid}/status").read_text()
    (mask,) = (line.split()[1] for line in status.splitlines() if line.startswith(f"{name}:"))
    return bool(int(mask, 16) >> (number - 1) & 1)
