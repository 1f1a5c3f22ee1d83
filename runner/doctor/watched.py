"""Checks side by side, none of which can take the others along: not by failing, and not by never coming back.

A file on a dead network disk, or a tool that waits for a terminal, hangs whoever asks. Each check has a thread that
nobody waits for at the end; what it had found by then counts.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence

from runner.doctor.finding import Finding, fail, warn
from runner.units import duration

LIMIT_S = 20.0
"""How long checks may take together; each of them limits itself to less."""


class _Watched:
    def __init__(self, name: str, check: Callable[[], Iterable[Finding]]) -> None:
        self._name, self._check = name, check
        self._found: list[Finding] = []
        self._thread = threading.Thread(target=self._look, name=f"doctor-{name}", daemon=True)
        self._thread.start()

    def _look(self) -> None:
        try:
            for finding in self._check():
                self._found.append(finding)
        except Exception as error:  # a fault of one look may not hide the others
            text = f"could not be looked at: {type(error).__name__}: {error}"
            self._found.append(warn(self._name, text, "report it; the other lines hold"))

    def found(self, *, until: float, limit_s: float) -> list[Finding]:
        self._thread.join(max(until - time.monotonic(), 0))
        found = list(self._found)
        if self._thread.is_alive():
            text = f"did not answer within {duration(int(limit_s * 1000))}; what it looks at hangs"
            found.append(fail(self._name, text, "look for a dead disk, a dead network mount or a tool that waits"))
        return found


def watched(
    checks: Sequence[tuple[str, Callable[[], Iterable[Finding]]]], *, limit_s: float = LIMIT_S
) -> list[Finding]:
    """What the checks found, in their order, whatever becomes of any of them. Comes back after `limit_s`."""
    until = time.monotonic() + limit_s
    running = [_Watched(name, check) for name, check in checks]
    return [finding for each in running for finding in each.found(until=until, limit_s=limit_s)]
