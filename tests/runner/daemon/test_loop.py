"""The loop, as far as it needs no runner around it: how it waits for its end, and what a fault leaves behind."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from runner.clocks import Jump
from runner.daemon import loop
from runner.errors import StoreError
from runner.units import HOUR_MS


def looping(parts: Any) -> loop.Loop:
    return loop.Loop(parts, SimpleNamespace(), once=True)  # type: ignore[arg-type]


async def nothing(*_: object) -> None:
    """Done at once."""


async def test_who_waits_for_the_last_words_is_seen_to_live(monkeypatch: pytest.MonkeyPatch) -> None:
    """The words here end only once the heart has beaten and the sentries were fed again and again."""
    monkeypatch.setattr(loop, "TICK_S", 0.0)
    monkeypatch.setattr(loop, "BEAT_S", 0.0)
    done: list[str] = []
    errands: list[asyncio.Task[None]] = []

    async def beat() -> None:
        done.append("beat")

    seen = asyncio.Event()

    def look() -> None:
        done.append("look")
        if min(done.count("beat"), done.count("look")) >= 3:
            seen.set()

    async def words() -> None:
        await seen.wait()

    parts = SimpleNamespace(
        heart=SimpleNamespace(beat=beat),
        sentries=SimpleNamespace(look=look),
        errand=lambda work: errands.append(asyncio.ensure_future(work)),
    )
    await asyncio.wait_for(looping(parts)._stay_alive_over(words()), 60)
    await asyncio.gather(*errands)


async def test_a_run_that_ends_stays_for_its_upkeep_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """What people are told by comes first, and a database that cannot be written keeps nothing else from its turn."""
    done: list[str] = []
    begun, endless = asyncio.Event(), asyncio.Event()

    async def check() -> int:
        done.append("check")
        return 0

    async def look() -> None:
        done.append("morning")
        raise StoreError("the disk is full")

    async def round() -> None:
        done.append("upkeep")
        begun.set()
        await endless.wait()

    parts = SimpleNamespace(
        dealer=SimpleNamespace(check=check),
        morning=SimpleNamespace(look=look),
        upkeep=SimpleNamespace(round=round),
    )
    monkeypatch.setattr(loop, "TIDYING_S", 3600.0)
    turning = looping(parts)
    assert not turning._is_tidy()
    await asyncio.wait_for(begun.wait(), 60)
    assert not turning._is_tidy()
    assert done == ["check", "morning", "upkeep"]
    endless.set()
    assert turning._tidying is not None
    await turning._tidying
    assert turning._is_tidy()

    endless.clear()
    monkeypatch.setattr(loop, "TIDYING_S", 0.0)
    hurried = looping(parts)
    assert hurried._is_tidy()
    assert hurried._tidying is not None
    hurried._tidying.cancel()


@pytest.mark.parametrize("network", [nothing, None], ids=["", "nor can the network be looked at"])
async def test_a_fault_after_a_wake_lets_work_start_again(network: Any) -> None:
    """Whatever went wrong, the wait for the network comes to its end and the queue is looked at."""
    done: list[str] = []

    async def wait() -> None:
        done.append("network")
        if network is None:
            raise RuntimeError("a fault of ours")

    async def wake() -> None:
        raise ZeroDivisionError

    parts = SimpleNamespace(
        waking=SimpleNamespace(begin=lambda _: done.append("begin"), network=wait),
        upstreams=SimpleNamespace(renew=lambda: None),
        errand=lambda _: None,
        writer=SimpleNamespace(write=nothing),
        dealer=SimpleNamespace(wake=wake),
        pool=SimpleNamespace(pump=lambda: done.append("pump")),
    )
    with pytest.raises((ZeroDivisionError, RuntimeError)):
        await looping(parts)._jumped(Jump(HOUR_MS, HOUR_MS))
    assert done == ["begin", "network", "pump"]
