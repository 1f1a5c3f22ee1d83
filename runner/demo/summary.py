"""What a demo did, in lines: done, waiting, dead, spent, held, left, and one of the answers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

from runner.home import Home
from runner.snapshot import Job, JobStatus, Reader
from runner.text import one_line
from runner.units import SystemClock, iso, usd

_ALL = 100_000


def summary(home: Home) -> Iterator[str]:
    """The lines."""
    reader = Reader(home)
    try:
        spend = reader.vitals(now=SystemClock().now()).spend
        done = reader.jobs(status=JobStatus.DONE, limit=_ALL)
        waiting = reader.jobs(status=JobStatus.PENDING, limit=_ALL)
        dead = reader.dead(limit=_ALL)
    finally:
        reader.close()
    yield _line("done", done)
    capped = [job for job in waiting if (job.waiting_gate or "").startswith("cap:")]
    if capped:
        first = min(capped, key=lambda job: job.not_before)
        yield f"{_line('waiting', capped)}: {first.waiting_on}, until {iso(first.not_before)}"
    others = [job for job in waiting if job not in capped]
    if others:
        yield _line("left", others)
    for error, count in Counter(one_line((job.error or "").split("\n", 1)[0], 200) for job in dead).items():
        yield f"dead      {count}: {error}"
    cap = usd(spend.cap) if spend.cap is not None else "no cap"
    free = usd(spend.free) if spend.free is not None else "all"
    yield f"spent     {usd(spend.settled)} of {cap} in pretend dollars, {usd(spend.held)} held, {free} left"
    yield from _answer(done)
    if dead:
        yield f"replay the dead: afk-runner replay --all --home {home.root}"
    yield f"look around: afk-console --home {home.root}"


def _line(word: str, jobs: tuple[Job, ...] | list[Job]) -> str:
    counts = Counter(job.task for job in jobs)
    tasks = ", ".join(f"{count} {task}" for task, count in sorted(counts.items()))
    return f"{word:<9} {len(jobs)}{f' ({tasks})' if tasks else ''}"


def _answer(done: tuple[Job, ...]) -> Iterator[str]:
    digest = next((job for job in reversed(done) if job.task == "digest" and job.result), None)
    if digest is not None and digest.result is not None:
        yield f"for example, {json.loads(digest.payload).split(chr(10), 1)[0]}"
        for line in str(json.loads(digest.result)).splitlines():
            yield f"  {line}"
