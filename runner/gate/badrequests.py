"""Requests an upstream refuses as mistakes: no fault of its own, but an attempt that goes on with them ends its job."""

from __future__ import annotations

from collections import OrderedDict

from runner.gate.admission import Refusal, bad_requests
from runner.gate.call import Call

STATUSES = frozenset({400, 404, 413, 422})
MOST_ATTEMPTS = 1_000
"""Attempts remembered; the one that was heard of longest ago is forgotten."""


class BadRequests:
    """Counts them, in a row, for each attempt. In memory: no attempt outlives its runner."""

    def __init__(self, most: int) -> None:
        """`most`: after so many in a row nothing more leaves."""
        self._most = most
        self._in_a_row: OrderedDict[tuple[int, int], tuple[int, int]] = OrderedDict()

    def heard(self, call: Call, status: int) -> None:
        """An upstream answered."""
        key = (call.job_id, call.n)
        if status in STATUSES:
            count, _ = self._in_a_row.pop(key, (0, 0))
            self._in_a_row[key] = (count + 1, status)
            if len(self._in_a_row) > MOST_ATTEMPTS:
                self._in_a_row.popitem(last=False)
        elif 200 <= status < 300:
            self._in_a_row.pop(key, None)

    def refusal(self, call: Call) -> Refusal | None:
        """Why the attempt may not call any more; None: it may."""
        count, status = self._in_a_row.get((call.job_id, call.n), (0, 0))
        return bad_requests(call.upstream, count, status) if count >= self._most else None
