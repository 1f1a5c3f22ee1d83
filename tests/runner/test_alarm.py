"""One timer for many."""

from __future__ import annotations

import asyncio

from runner.alarm import Alarm


async def test_it_rings_once_at_the_earliest_time_asked_for() -> None:
    loop = asyncio.get_running_loop()
    rings: asyncio.Queue[float] = asyncio.Queue()
    alarm = Alarm(lambda: rings.put_nowait(loop.time()))
    start = loop.time()
    for when in (start + 3600, start + 0.02, start + 1800):
        alarm.at(when)

    assert start + 0.02 <= await asyncio.wait_for(rings.get(), 60) < start + 1800
    assert rings.empty()

    alarm.at(loop.time())
    await asyncio.wait_for(rings.get(), 60)  # it can be set again


async def test_one_that_was_stopped_does_not_ring() -> None:
    rung = asyncio.Event()
    alarm = Alarm(rung.set)
    alarm.at(asyncio.get_running_loop().time())
    alarm.stop()
    after = asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, after.set)
    await after.wait()
    assert not rung.is_set()

    alarm.at(asyncio.get_running_loop().time())
    await asyncio.wait_for(rung.wait(), 60)
