"""Nothing is lost and nothing done twice, whatever is killed and whenever."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
from collections import Counter
from contextlib import suppress
from pathlib import Path

from tests.e2e.world import World, eventually

JOBS = 1_000
KILLS = 50
KINDS = ("runner", "worker", "worker", "all", "guard")
CAP_MICROUSD = 20_000_000

TOML = """
[runner]
workers = 4
[budget]
daily_usd = "20.00"
[retry]
base = "100ms"
[prices."offline/extract"]
input = "20"
output = "20"
"""

TASKS = """
import os
from runner import task

EFFECTS = os.path.expanduser(os.path.join(os.path.dirname(__file__), "..", "effects"))

def effect(ctx):
    fd = os.open(EFFECTS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, f"{ctx.key} {ctx.attempt}\\n".encode())
    os.close(fd)

def answer(ctx):
    # what `ctx.ask` sends, without the second that its library takes to load in each new worker
    asked = {"model": "offline/extract", "max_tokens": 40, "messages": [{"role": "user", "content": "It rains."}]}
    return ctx._call("POST", "/v1/messages", asked)["content"][0]["text"]

@task("work")
def work(ctx, payload):
    ctx.step("effect", lambda: effect(ctx))
    ctx.step("answer", lambda: answer(ctx))
    if payload["n"] % 5 == 0:
        ctx.enqueue("child", {"of": ctx.key}, key=f"child of {ctx.key}")
    return payload["n"]

@task("child")
def child(ctx, payload):
    return payload
"""


class Killer:
    """Kills what works on a home, at moments told by how much work is done, and starts a runner again."""

    def __init__(self, afk: World) -> None:
        self.afk = afk
        self.runner = afk.start()
        self.kills: Counter[str] = Counter()
        self.done = 0
        """Jobs that were done at the last look."""
        self.highest = 0
        """Most that was ever seen settled and held together."""

    def wait_for(self, done: int) -> None:
        """Until so many jobs are done; watches the cap meanwhile."""

        def reached() -> bool:
            finished, counted = self.afk.sql("SELECT done, (SELECT coalesce(sum(cost), 0) FROM spend) FROM board")[0]
            self.highest = max(self.highest, counted)
            assert counted <= CAP_MICROUSD
            assert self.runner.poll() is None, "the runner ended by itself"
            self.done = finished
            return bool(finished >= done)

        done = min(JOBS, max(done, self.done + 1))  # however late we look, no two kills meet the same attempts
        eventually(reached, within_s=120, what=f"{done} jobs done")

    def kill(self, what: str, chance: random.Random) -> None:
        """SIGKILL it, and replace the runner if it was hit."""
        self.kills[what] += 1
        if what in ("worker", "guard"):
            look = self.afk.workers if what == "worker" else self.afk.guards
            with suppress(ProcessLookupError):
                os.kill(chance.choice(eventually(lambda: look(self.runner))), signal.SIGKILL)
            return
        workers = self.afk.workers(self.runner) if what == "all" else []
        self.afk.kill9(self.runner)
        for pid in workers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.runner = self.afk.start(wait=False)
        eventually(lambda: self.afk.one("SELECT count(*) FROM runners WHERE pid = ?", self.runner.pid))


def test_a_thousand_jobs_survive_fifty_kills(afk: World) -> None:
    """1,000 jobs on 4 workers under 50 SIGKILLs: each done once, each guarded effect once, every sum right."""
    chance = random.Random(20_270_101)
    afk.init(TOML, tasks=TASKS)
    lines = "\n".join(
        json.dumps({"task": "work", "key": f"job-{n}", "payload": {"n": n}}) for n in range(JOBS * 5 // 6)
    )
    afk.afk("enqueue", "--lines", stdin=lines)
    killer = Killer(afk)
    moments = sorted(chance.sample(range(5, JOBS - 30), KILLS))
    kinds = chance.choices(KINDS, k=KILLS)
    for moment, kind in zip(moments, kinds, strict=True):
        killer.wait_for(moment)
        killer.kill(kind, chance)
    killer.wait_for(JOBS)
    killer.runner.send_signal(signal.SIGTERM)
    assert killer.runner.wait(timeout=60) == 0

    assert sum(killer.kills.values()) == KILLS
    assert min(killer.kills[what] for what in KINDS) > 0
    assert killer.highest > 0
    _each_job_was_done_once(afk)
    _no_guarded_effect_happened_twice(afk)
    _every_sum_is_right(afk)
    eventually(lambda: not afk.processes(), what="no process left")


def _each_job_was_done_once(afk: World) -> None:
    assert afk.counts() == {"done": JOBS}
    once = afk.sql("SELECT job, count(*) FROM events WHERE event = 'job.done' GROUP BY job HAVING count(*) <> 1")
    assert once == []
    assert afk.one("SELECT count(*) FROM events WHERE event = 'job.done'") == JOBS
    assert afk.one("SELECT count(*) FROM attempts WHERE outcome = 'done'") == JOBS
    assert afk.one("SELECT count(*) FROM attempts WHERE outcome IS NULL") == 0
    assert afk.one("SELECT count(*) FROM jobs WHERE starts <> (SELECT count(*) FROM attempts WHERE job_id = id)") == 0
    assert afk.one("SELECT count(*) FROM attempts WHERE outcome = 'rescued'") > 0, "no kill hit a job: proves nothing"


def _no_guarded_effect_happened_twice(afk: World) -> None:
    recorded = dict(afk.sql("SELECT key, n FROM steps JOIN jobs ON id = job_id WHERE name = 'effect'"))
    assert len(recorded) == afk.one("SELECT count(*) FROM jobs WHERE task = 'work'")
    happened = Counter(tuple(line.rsplit(" ", 1)) for line in (afk.home / "effects").read_text().splitlines())
    assert {key for key, _ in happened} == recorded.keys()
    assert set(happened.values()) == {1}
    assert all(int(attempt) <= recorded[key] for key, attempt in happened), "done again after it was recorded"
    bought_again = afk.one(
        "SELECT count(*) FROM charges JOIN steps USING (job_id) WHERE name = 'answer' AND charges.n > steps.n"
    )
    assert bought_again == 0
    children = afk.one("SELECT count(*) FROM jobs WHERE task = 'child'")
    assert children == afk.one("SELECT count(*) FROM jobs WHERE task = 'work' AND payload ->> 'n' % 5 = 0")


def _every_sum_is_right(afk: World) -> None:
    database = str(afk.home / "agent.db")
    checked = subprocess.run(
        ["sqlite3", database, "PRAGMA integrity_check"], capture_output=True, text=True, check=True
    )
    assert checked.stdout == "ok\n"
    check_counters(afk.home / "agent.db")
    assert 0 < afk.one("SELECT sum(cost) FROM spend") <= CAP_MICROUSD


def check_counters(path: Path) -> None:
    """Every counter and total that a trigger keeps, against the rows it counts."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
        board = db.execute("SELECT pending, running, done, halted, cancelled, dead FROM board").fetchone()
        rows = dict(db.execute("SELECT status, count(*) FROM jobs GROUP BY status"))
        assert board == tuple(
            rows.get(status, 0) for status in ("pending", "running", "done", "halted", "cancelled", "dead")
        )
        totals = "SELECT day, task, settled, held FROM spend_totals WHERE settled + held > 0 ORDER BY day, task"
        summed = """
            SELECT day, task, coalesce(sum(cost), 0) AS settled, sum(iif(state = 'held', hold, 0)) AS held
              FROM charges GROUP BY day, task HAVING settled + held > 0 ORDER BY day, task"""
        assert db.execute(totals).fetchall() == db.execute(summed).fetchall()
        of_jobs = """
            SELECT id FROM jobs WHERE (settled, held) <> (
                SELECT coalesce(sum(cost), 0), coalesce(sum(iif(state = 'held', hold, 0)), 0)
                  FROM charges WHERE job_id = jobs.id)"""
        assert db.execute(of_jobs).fetchall() == []
        of_attempts = """
            SELECT job_id, n FROM attempts WHERE cost <> (
                SELECT coalesce(sum(counted), 0) FROM charges WHERE charges.job_id = attempts.job_id
                   AND charges.n = attempts.n)"""
        assert db.execute(of_attempts).fetchall() == []
    db.close()
