"""A real gate on a real socket, over a real database, in front of the stand-in vendor."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx

from runner.config import BudgetConfig, PriceConfig, TaskConfig, TaskKind, UpstreamConfig
from runner.gate.book import Book
from runner.gate.call import Policy
from runner.gate.calls import Calls
from runner.gate.counts import Counts
from runner.gate.jobapi import JobApi
from runner.gate.passes import Pass, Passes
from runner.gate.prices import PriceList
from runner.gate.server import Gate
from runner.gate.upstreams import Upstreams
from runner.redact import Redactor
from runner.store.breakers import CoolDown
from runner.store.jobs import Job
from runner.store.writer import Writer
from runner.units import MicroUsd
from tests.factories import ManualClock, make_running, new_database
from tests.upstream import PATIENCE_S

NO_ROOTS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Nothing here is asked by TLS, and to read the certificates of the world takes each client 0.1 s."""


KEY = "sk-house-canary-0123456789abcdef"
HOLD = 110_000
"""Micro-dollars held for a call of 100 tokens: a tenth of a cent each, and a tenth more for a region not ruled out."""
COST = 5_000
"""Micro-dollars of the vendor's usual answer, 5 tokens."""
BREAKER = "house/house-model"
COOL_DOWN = CoolDown(failures=5, first_ms=60_000, longest_ms=600_000)
BUDGET = BudgetConfig(daily_usd=MicroUsd(10_000_000))
ASKED: Mapping[str, Any] = {
    "model": "house-model",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "Hello"}],
}
_PRICE = PriceConfig(input=Decimal(0), output=Decimal(1000))
PRICES = {
    "house-model": _PRICE,
    "house-other": replace(_PRICE, output=Decimal(2000)),
    "house-reader": replace(_PRICE, input=Decimal(100)),
}


@dataclass(slots=True, kw_only=True)
class House:
    """The gate with everything around it."""

    gate: Gate
    passes: Passes
    upstreams: Upstreams
    writer: Writer
    clock: ManualClock
    path: Path
    book: Book
    job: Job
    granted: Pass
    """Of an attempt that runs."""
    stop: dict[str, str] = field(default_factory=dict)
    """`now`: a stop that the last look finds; `outside`: one that admission finds too."""

    @property
    def port(self) -> int:
        return int(self.gate.url.rpartition(":")[2])

    def client(self, *, token: str | None = None) -> httpx.AsyncClient:
        headers = {"x-api-key": self.granted.token if token is None else token}
        return httpx.AsyncClient(
            base_url=self.gate.url, headers=headers, timeout=PATIENCE_S, trust_env=False, verify=NO_ROOTS
        )

    async def ask(self, **body: Any) -> httpx.Response:
        """One call, read whole."""
        async with self.client() as client:
            return await client.post("/v1/messages", json={**ASKED, **body})

    def sql(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.path, timeout=PATIENCE_S, isolation_level=None)) as db:
            return db.execute(query, values).fetchall()

    def charges(self) -> list[tuple[str, int, str | None]]:
        """State, what counts, and the note of every charge that has ended, in order."""
        return self.sql("SELECT state, counted, note FROM charges WHERE ended_at IS NOT NULL ORDER BY id")

    async def ended(self, count: int = 1) -> list[tuple[str, int, str | None]]:
        """The same once that many have ended."""
        async with asyncio.timeout(PATIENCE_S):
            while len(found := self.charges()) < count:  # noqa: ASYNC110 - the writer's thread tells nobody
                await asyncio.sleep(0.005)
        return found

    def another(self, **fields: Any) -> Pass:
        """The pass of one more attempt that runs."""
        with closing(sqlite3.connect(self.path, timeout=PATIENCE_S, isolation_level=None)) as db:
            granted = pass_of(make_running(db, **fields))
        self.passes.issue(granted)
        return granted


def pass_of(job: Job, *, job_cap: int | None = None, task_cap: int | None = None) -> Pass:
    """The pass of a running job's attempt."""
    return Pass(
        job_id=job.id,
        job=job.key,
        n=job.starts,
        task=job.task,
        lease=job.lease or "",
        runner="runner-1",
        job_cap=MicroUsd(job_cap) if job_cap is not None else None,
        task_cap=MicroUsd(task_cap) if task_cap is not None else None,
        max_output_tokens=None,
    )


@asynccontextmanager
async def house(
    folder: Path,
    url: str,
    *,
    budget: BudgetConfig = BUDGET,
    upstream: Mapping[str, Any] | None = None,
    prices: Mapping[str, PriceConfig] = PRICES,
    awaits_network: Callable[[], bool] = lambda: False,
) -> AsyncIterator[House]:
    """A gate for the block. `upstream`: fields of the vendor's configuration."""
    path = folder / "agent.db"
    database = new_database(path)
    with database.write() as db:
        job = make_running(db)
    writer, clock, passes, stop = Writer(database), ManualClock(), Passes(), dict[str, str]()
    vendor = replace(UpstreamConfig(name="house", url=url, key=KEY, timeout_ms=120_000), **(upstream or {}))
    upstreams = Upstreams({"house": vendor}, {"house-*": "house"}, awaits_network=awaits_network)
    book = Book(
        writer=writer,
        price_list=PriceList(prices),
        policy=Policy(zone=ZoneInfo("UTC"), budget=budget, cool_down=COOL_DOWN),
        outside_stop=lambda: stop.get("outside"),
        any_stop=lambda: stop.get("now"),
        clock=clock,
        rng=random.Random(1),
    )
    tasks = {
        "digest": TaskConfig(name="digest", kind=TaskKind.PYTHON),
        "post": TaskConfig(name="post", kind=TaskKind.COMMAND, irreversible=True, priority=2, max_attempts=1),
    }
    api = JobApi(writer=writer, tasks=tasks, max_attempts=4, redactor=Redactor((KEY,)), clock=clock)
    calls, counts = Calls(book=book, upstreams=upstreams), Counts(book=book, upstreams=upstreams)
    gate = Gate(calls=calls, counts=counts, jobs=api, passes=passes, models=("house-model",))
    await gate.start()
    granted = pass_of(job)
    passes.issue(granted)
    try:
        yield House(
            gate=gate,
            passes=passes,
            upstreams=upstreams,
            writer=writer,
            clock=clock,
            path=path,
            book=book,
            job=job,
            granted=granted,
            stop=stop,
        )
    finally:
        await gate.close()
        await upstreams.close()
        await writer.close()


def error_of(response: httpx.Response) -> tuple[int, str, str | None]:
    """Status, type and code of a refusal."""
    error = json.loads(response.content)["error"]
    return response.status_code, error["type"], error.get("details", {}).get("error_code")
