"""Large bodies are read, bounded and written anew beside the loop: a kill and the calls of others wait for none of it.

Reading holds the interpreter for moments at a time, but no longer than the limits of `body` let one moment last.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from runner.gate.body import parts_of
from runner.gate.passes import Pass

LIGHT_BYTES = 64 * 1024
LIGHT_PARTS = 4_000
"""A body within both takes some milliseconds in all."""
THREADS = 2
"""Each attempt has one at a time, so that one with a heap of large bodies leaves the others the second."""

_threads = ThreadPoolExecutor(THREADS, thread_name_prefix="body")
_T = TypeVar("_T")


async def beside(granted: Pass, body: bytes, work: Callable[[], _T]) -> _T:
    """Do work that takes the longer the larger a body is: at once for a light one, else in a thread."""
    if len(body) <= LIGHT_BYTES and parts_of(body) <= LIGHT_PARTS:
        return work()
    async with granted.reading:
        return await asyncio.get_running_loop().run_in_executor(_threads, work)
