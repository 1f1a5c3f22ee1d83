"""Large bodies are read, bounded and written anew beside the loop: neither a kill nor the calls of others wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from runner.gate import plain
from runner.gate.body import parts_of
from runner.gate.passes import Pass

LIGHT_BYTES = 64 * 1024
LIGHT_PARTS = 4_000
"""A body within both takes some milliseconds in all."""
PATIENT_BYTES = 2 * 1024 * 1024
PATIENT_PARTS = 20_000
"""A body within both holds all threads for some ten milliseconds at a time; beyond, it is read and written in turns.
No turn ends within a text: the longest there can be takes 20 to 100 milliseconds, in which nobody else has one."""
THREADS = 2
"""Each attempt has one at a time, so that one with a heap of large bodies leaves the others the second."""

_threads = ThreadPoolExecutor(THREADS, thread_name_prefix="body")
_T = TypeVar("_T")


async def beside(granted: Pass, body: bytes, work: Callable[[], _T]) -> _T:
    """Do work that takes the longer the larger a body is: at once for a light one, else in a thread."""
    if len(body) <= LIGHT_BYTES and parts_of(body) <= LIGHT_PARTS:
        return work()
    async with granted.reading:
        return await asyncio.get_running_loop().run_in_executor(_threads, _fairly, body, work)


def _fairly(body: bytes, work: Callable[[], _T]) -> _T:
    patient = len(body) > PATIENT_BYTES or parts_of(body) > PATIENT_PARTS
    return plain.in_turns(work) if patient else work()
