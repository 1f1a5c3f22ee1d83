"""A machine that slept: connections that died of it cost no attempt, and the vendor is no worse for them."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from tests.runner.gate.world import HOLD, error_of, house
from tests.upstream import FakeAnthropic, Reply


@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_in_flight_breaks_at_waking_and_burns_nothing(tmp_path: Path, stream: bool) -> None:
    """It was sent, so its hold stands; the job waits for nothing, and the next call goes over a new connection."""
    with FakeAnthropic() as vendor:
        async with house(tmp_path, vendor.url) as gate:
            vendor.script(Reply.hang(threading.Event()))
            asked = asyncio.ensure_future(gate.ask(stream=stream))
            await asyncio.to_thread(vendor.wait_for, 1)

            await gate.upstreams.renew()

            assert error_of(await asked)[::2] == (503, "afk_slept")
            assert [(state, counted) for state, counted, _ in await gate.ended()] == [("held", HOLD)]
            assert gate.sql("SELECT 1 FROM breakers WHERE failures > 0") == []
            assert gate.granted.refusal is not None
            assert (gate.granted.refusal.gate, gate.granted.refusal.lifts_at) == ("sleep", gate.clock.now())

            assert (await gate.ask()).status_code == 200


async def test_a_call_that_breaks_before_the_network_is_back_burns_nothing(tmp_path: Path) -> None:
    async with house(tmp_path, "http://127.0.0.1:1", awaits_network=lambda: True) as gate:
        assert error_of(await gate.ask())[::2] == (503, "afk_slept")
        assert [(state, counted) for state, counted, _ in await gate.ended()] == [("released", 0)]


async def test_a_model_on_this_machine_goes_on(tmp_path: Path) -> None:
    """Its connection outlived the sleep, and so does the call."""
    with FakeAnthropic() as vendor:
        release = threading.Event()
        async with house(tmp_path, vendor.url, upstream={"local": True, "key": None}) as gate:
            vendor.script(Reply.hang(release))
            asked = asyncio.ensure_future(gate.ask())
            await asyncio.to_thread(vendor.wait_for, 1)
            await gate.upstreams.renew()
            release.set()
            assert (await asked).status_code == 200
