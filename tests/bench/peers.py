"""What we are held against: synced writes of a plain file, and huey on SQLite at the same durability."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huey.storage import SqliteStorage

PAGE = 4096


def synced_writes(path: Path, count: int) -> float:
    """4 KiB overwrites a second of a file that has its size, each synced: what one durable job costs at least."""
    block = os.urandom(PAGE)
    with _grown(path, PAGE * 1000) as fd:
        start = time.perf_counter()
        for number in range(count):
            os.pwrite(fd, block, number % 1000 * PAGE)
            _sync(fd)
        return count / (time.perf_counter() - start)


def synced_frames(path: Path, count: int, *, pages: int) -> float:
    """Commits a second of so many pages, written as SQLite writes them to its log (24 bytes, 4 KiB, the next), each
    commit synced: what is left when all statements take no time at all."""
    head, block = os.urandom(24), os.urandom(PAGE)
    frame = len(head) + PAGE
    with _grown(path, frame * 1000) as fd:
        start = time.perf_counter()
        for number in range(count):
            for page in range(number * pages, number * pages + pages):
                os.pwrite(fd, head, page % 1000 * frame)
                os.pwrite(fd, block, page % 1000 * frame + len(head))
            _sync(fd)
        return count / (time.perf_counter() - start)


@contextmanager
def _grown(path: Path, size: int) -> Iterator[int]:
    """A file that has its size."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if os.fstat(fd).st_size == 0:
            os.pwrite(fd, bytes(size), 0)
            os.fsync(fd)
        yield fd
    finally:
        os.close(fd)


_sync = getattr(os, "fdatasync", os.fsync)


def huey_store(path: Path) -> SqliteStorage:
    """Its storage with synchronous=FULL, which is SQLite's default and here said aloud."""
    return SqliteStorage("bench", filename=str(path), fsync=True)


def huey_pace(storage: SqliteStorage, count: int) -> float:
    """Jobs a second of its store alone: take a message, keep its result. The filling does not count."""
    with storage.db(commit=True) as cursor:
        cursor.executemany(
            "insert into task (queue, data, priority) values (?, ?, 0)", [(storage.name, b"x" * 100)] * count
        )
    start = time.perf_counter()
    done = 0
    while storage.dequeue() is not None:
        storage.put_data(f"result-{time.monotonic_ns()}", b"null", is_result=True)
        done += 1
    seconds = time.perf_counter() - start
    assert done == count
    return done / seconds


HUEY_APP = """
import time
from huey import SqliteHuey
huey = SqliteHuey("bench", filename={path!r}, fsync=True)

@huey.task()
def noop(number):
    return number

@huey.task()
def begun(asked):
    return time.monotonic_ns() - asked
"""
"""Its consumer imports this. A result is kept, as ours is."""
