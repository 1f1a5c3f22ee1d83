"""Whatever becomes of an answer on its way, the ledger never falls behind the bill, and never passes the cap.

The vendor answers truthfully and bills what it made. Then the answer is split, cut, peppered with junk, loses events,
has them twice or in another order, is packed, or is replaced by a status. Over real sockets, with a real database.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from runner.config import BudgetConfig
from runner.units import MicroUsd
from tests.runner.gate.world import House, house
from tests.upstream import FakeAnthropic, Reply, asked_for, body, events

CAP = 1_500_000
"""Room for a few calls."""
INPUT, OUTPUT = 100, 1_000
"""Micro-dollars a token of `house-reader`."""
SOLD = frozenset({408, 409, 418, 499, 500, 502, 504})
"""Statuses after which something may have been sold; after the others the vendor bills nothing."""
JUNK = [b"\x00", b"\xff\xfe", b"<html>", b"}", b"{", b'"', b"\n", b"\n\n", b"\r", b"data: ", b":", b"-"]
"""No digits: a count that is changed into another one is a lie, which nobody can tell from the truth."""
TURNS = {"messages": [{"role": "user", "content": "Hello"}]}
ASKED: dict[str, dict[str, Any]] = {
    "/v1/messages": {"model": "house-reader", "max_tokens": 100, **TURNS},
    "/v1/chat/completions": {"model": "house-reader", "max_completion_tokens": 100, **TURNS},
    "/v1/responses": {"model": "house-reader", "max_output_tokens": 100, "input": "Hello"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One call and what becomes of its answer."""

    path: str
    stream: bool
    input: int
    output: int
    harm: str
    at: int
    """Where, in thousandths of the answer."""
    junk: bytes
    split: int | None
    packed: bool
    status: int

    @property
    def bill(self) -> int:
        """What the vendor charges, in micro-dollars."""
        sold = self.harm != "status" or self.status in SOLD
        return (self.input * INPUT + self.output * OUTPUT) if sold else 0

    @property
    def asked(self) -> dict[str, Any]:
        streamed = {"stream": True, "stream_options": {"include_usage": True}} if self.stream else {}
        return {**ASKED[self.path], **(streamed if "chat" in self.path or not self.stream else {"stream": True})}

    def reply(self) -> Reply:
        """The answer as it arrives."""
        if self.harm == "status":
            return Reply.error(self.status)
        made = Reply.ok("Understood, every word.", input_tokens=self.input, output_tokens=self.output)
        request = asked_for(self.path, self.asked)
        parts = events(made, request) if self.stream else [body(made, request)]
        raw = self._harmed(parts)
        headers = {"content-encoding": "gzip"} if self.packed else {}
        raw = gzip.compress(raw) if self.packed else raw
        if not self.stream:
            return Reply(body=raw, headers=headers)
        size = self.split or max(1, len(raw))
        return Reply(pieces=tuple(raw[start : start + size] for start in range(0, len(raw), size)), headers=headers)

    def _harmed(self, parts: list[bytes]) -> bytes:
        parts, which = list(parts), self.at * len(parts) // 1_000
        if self.harm == "lost":
            del parts[which]
        elif self.harm == "twice":
            parts.insert(which, parts[which])
        elif self.harm == "out of order":
            parts.append(parts.pop(which))
        raw = b"".join(parts)
        place = self.at * len(raw) // 1_000
        if self.harm == "cut":
            return raw[:place]
        return raw[:place] + self.junk + raw[place:] if self.harm == "junk" else raw


def turns_of(wire: str) -> st.SearchStrategy[Turn]:
    return st.builds(
        Turn,
        path=st.sampled_from([path for path in sorted(ASKED) if ("messages" in path) == (wire == "anthropic")]),
        stream=st.booleans(),
        input=st.integers(0, 900),
        output=st.integers(0, 100),
        harm=st.sampled_from(["none", "cut", "junk", "lost", "twice", "out of order", "status"]),
        at=st.integers(0, 999),
        junk=st.sampled_from(JUNK),
        split=st.none() | st.integers(1, 400),
        packed=st.booleans(),
        status=st.sampled_from([307, 400, 404, 408, 413, 418, 429, 499, 500, 502, 503, 504, 529]),
    )


plays = st.sampled_from(["anthropic", "openai"]).flatmap(
    lambda wire: st.tuples(st.just(wire), st.lists(turns_of(wire), min_size=1, max_size=8))
)


@pytest.fixture(scope="module")
def vendor() -> Iterator[FakeAnthropic]:
    with FakeAnthropic() as server:
        yield server


@settings(deadline=None, max_examples=25)
@given(play=plays)
def test_no_answer_leaves_less_than_the_bill_or_more_than_the_cap(
    vendor: FakeAnthropic, play: tuple[str, list[Turn]]
) -> None:
    wire, turns = play

    async def played() -> None:
        budget = BudgetConfig(daily_usd=MicroUsd(CAP))
        with TemporaryDirectory() as folder:
            async with house(Path(folder), vendor.url, budget=budget, upstream={"wire": wire}) as gate:
                for turn in turns:
                    await one(gate, vendor, turn)

    asyncio.run(played())


async def one(gate: House, vendor: FakeAnthropic, turn: Turn) -> None:
    """A call, its charge against its bill, and the sum against the cap."""
    before, sent = len(gate.charges()), len(vendor.requests)
    vendor.script(turn.reply())
    await ask(gate, turn)
    if len(vendor.requests) == sent:  # refused, so nothing was sold
        vendor.unscript()
        event("refused")
        return
    state, counted, _ = (await gate.ended(before + 1))[before]
    event(f"{turn.harm}: {state}")
    assert counted >= turn.bill or (state == "released" and turn.bill == 0)
    assert state != "settled" or counted == turn.bill
    assert sum(count for _, count, _ in gate.charges()) <= CAP


async def ask(gate: House, turn: Turn) -> None:
    async with gate.client() as client:
        try:
            await client.post(turn.path, json=turn.asked)
        except httpx.RemoteProtocolError:
            event("broken off")
