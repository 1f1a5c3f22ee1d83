"""A runner as far as a console can tell, which writes as many events a second as it is told.

python -m tests.bench.busy DIR EVENTS_A_SECOND
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from pathlib import Path

from runner.home import Home
from runner.store import controls, events, runners
from runner.store.db import Database
from runner.store.runners import RunState
from runner.units import SECOND_MS, SystemClock

RUNNER = "bench-1"
NAP_S = 0.25


def main() -> None:
    home, rate = Home(Path(sys.argv[1])), int(sys.argv[2])
    clock = SystemClock()
    database = Database.open(home.db)
    lock = os.open(home.lock, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    jobs = [row[0] for row in database.connection.execute("SELECT key FROM jobs WHERE status = 'running'")]
    beaten, count, seq, due = 0, 0, -1, time.monotonic()
    print("ready", flush=True)
    while True:
        now = clock.now()
        stop = controls.stop_row(database.connection)
        if stop.seq != seq or now - beaten >= SECOND_MS:
            state = RunState.PARKED if stop.is_set else RunState.RUNNING
            reason = "stopped" if stop.is_set else None
            with database.write() as db:
                runners.move(db, RUNNER, state=state, reason=reason, stop_seq=stop.seq, now=now)
            beaten, seq = now, stop.seq
        if rate:
            count += 1
            with database.write() as db:
                text = f"step {count}: fetched {count % 9} pages for $0.00{count % 10}"
                events.record(
                    db,
                    now=now,
                    level=events.INFO,
                    event="job.step",
                    text=text,
                    job=jobs[count % len(jobs)],
                    task="echo",
                )
        due = max(time.monotonic(), due + (1 / rate if rate else NAP_S))
        time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    main()
