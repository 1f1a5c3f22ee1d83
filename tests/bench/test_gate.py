"""What the gate adds to a model call: two durable commits, one more hop, a look at every piece of a stream."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import pytest

from tests.bench.rounds import interleaved
from tests.bench.table import Table
from tests.e2e.world import eventually, world

pytestmark = pytest.mark.bench

PART = "A model call through the gate"
ROUNDS = 5
CALLS = 150
CALLERS = 32
HOME = """
[budget]
daily_usd = "100000.00"
[upstreams.house]
url = "http://127.0.0.1:{port}"
[models]
"house-model" = "house"
[prices."house-model"]
input = "1.00"
output = "5.00"
[tasks.open]
kind = "command"
command = ["sh", "-c", "echo $AFK_GATE_URL $AFK_TOKEN > open.part; mv open.part open; exec sleep 3600"]
max_seconds = "2h"
"""
_STAMP = re.compile(rb"@(\d+)@")
_numbers = count()
"""No two requests are the same: a gate may take repetition for a runaway."""


@dataclass(frozen=True, slots=True)
class Way:
    """Where a caller connects and how it says who it is."""

    port: int
    token: str

    def request(self, *, stream: bool) -> bytes:
        asked = {
            "model": "house-model",
            "max_tokens": 100,
            "messages": [{"role": "user", "content": f"Which of these need me today? {next(_numbers)}"}],
            "stream": stream,
        }
        body = json.dumps(asked, separators=(",", ":")).encode()
        head = (
            f"POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1\r\nx-api-key: {self.token}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


async def _one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way) -> None:
    writer.write(way.request(stream=False))
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head + await reader.read(2_000)
    size = re.search(rb"content-length: (\d+)", head.lower())
    assert size is not None
    await reader.readexactly(int(size[1]))


async def _calls(way: Way, calls: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", way.port)
    for _ in range(calls):
        await _one(reader, writer, way)
    writer.close()


def one_caller(way: Way) -> float:
    """Milliseconds a call, one after the other on one connection."""
    start = time.perf_counter()
    asyncio.run(_calls(way, CALLS))
    return (time.perf_counter() - start) * 1000 / CALLS


def many_callers(way: Way) -> float:
    """Calls a second of many callers at once."""

    async def all_of_them() -> None:
        await asyncio.gather(*(_calls(way, CALLS // 5) for _ in range(CALLERS)))

    start = time.perf_counter()
    asyncio.run(all_of_them())
    return CALLERS * (CALLS // 5) / (time.perf_counter() - start)


def pieces(way: Way) -> float:
    """Milliseconds from an upstream's write of a piece of a stream to its arrival, the median."""

    async def delays() -> list[float]:
        reader, writer = await asyncio.open_connection("127.0.0.1", way.port)
        writer.write(way.request(stream=True))
        found: list[float] = []
        rest = b""
        while b"message_stop" not in rest:
            data = await reader.read(65_536)
            assert data, rest
            now = time.monotonic_ns()
            rest = rest[-200:] + data
            found += [(now - int(stamp)) / 1e6 for stamp in _STAMP.findall(data)]
        writer.close()
        return found

    return median(asyncio.run(delays()))


@contextmanager
def canned() -> Iterator[int]:
    """The upstream's port."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bench.canned"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as upstream:
        assert upstream.stdout is not None
        yield int(upstream.stdout.readline())
        assert upstream.stdin is not None
        upstream.stdin.close()


def two_commits(db: sqlite3.Connection) -> float:
    """Milliseconds of two bare synced commits of a small row."""
    start = time.perf_counter()
    for _ in range(2 * CALLS):
        db.execute("UPDATE one SET n = n + 1")
    return (time.perf_counter() - start) * 1000 / CALLS


def test_a_call_costs_two_commits_and_a_hop(disk: Path, table: Table) -> None:
    """Per call, per piece of a stream, and under many callers, each beside the same upstream without a gate."""
    bare = sqlite3.connect(disk / "bare.db", isolation_level=None)
    bare.executescript(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE one (n); INSERT INTO one VALUES (0)"
    )
    with canned() as port, world(disk) as made, closing(bare):
        made.init(HOME.format(port=port))
        made.start()
        made.afk("enqueue", "open")
        opened = made.home / "work" / "open"
        eventually(opened.exists, what="the gate's address")
        url, token = opened.read_text().split()
        through, direct = Way(urlsplit(url).port or 0, token), Way(port, "none")

        one = interleaved(
            {
                "gate": lambda: one_caller(through),
                "direct": lambda: one_caller(direct),
                "commits": lambda: two_commits(bare),
            },
            rounds=ROUNDS,
        )
        added = one.typical("gate") - one.typical("direct")
        table.add(PART, "a call, one after the other, to the same without a gate", f"{one.ratio('gate', 'direct')}")
        table.add(PART, "what the gate adds to it", f"{added:.2f} ms")
        table.add(PART, "that, to two bare synced commits", f"{added / one.typical('commits'):.1f}")

        streamed = interleaved({"gate": lambda: pieces(through), "direct": lambda: pieces(direct)}, rounds=ROUNDS)
        late = streamed.typical("gate") - streamed.typical("direct")
        table.add(PART, "a piece of a stream on its way, to the same without a gate", streamed.ratio("gate", "direct"))
        table.add(PART, "what the gate adds to it", f"{late:.2f} ms")

        many = interleaved(
            {"gate": lambda: many_callers(through), "direct": lambda: many_callers(direct)}, rounds=ROUNDS
        )
        table.add(
            PART,
            f"calls a second, {CALLERS} callers, to the same without a gate",
            f"{many.ratio('gate', 'direct')} ({many.typical('gate'):,.0f}/s to {many.typical('direct'):,.0f}/s)",
        )
        settled = made.one("SELECT count(*) FROM charges WHERE state = 'settled'")
        asked = (ROUNDS + 1) * (CALLS + 1 + CALLERS * (CALLS // 5))
        assert settled == asked, f"{settled} of {asked} calls were settled"
