"""Which failures are of one kind: what their dead letters are grouped, shown and replayed by."""

from __future__ import annotations

import hashlib
import re

_VARIES = re.compile(
    r"""'[^']*'|"[^"]*" | 0x[0-9a-f]+
    | \b[0-9a-f]{4,}(?:-[0-9a-f]{4,}){2,}\b | \b[0-9a-f]{8,}\b | \b[a-z]+_[0-9a-z]{12,}\b
    | (?P<code>\b(?:code|exit|exited\ with|systemexit|status|signal|errno|upstream|http(?:/[\d.]+)?)[ :=]{1,2}\d{1,3}\b)
    | \d+(?:[.,:]\d+)*(?:[ ]?(?:ms|us|min|[smhd])(?![a-z]))?
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""Of an error: what is quoted, ids, times and counts. A code is none of these: it says what failed."""
_OUTAGE = re.compile(
    r"\bhttp\b|upstream|time(?:d[ ])?out|connect(?:ion|error)|overloaded|no model answered", re.IGNORECASE
)
"""What strikes every task alike."""
_OWN = re.compile(r" (?:ended with exit code|was ended by signal) \d+")
"""A command's end is its task's own, whatever it said last."""


def fingerprint(error: str, *, task: str) -> str:
    """Eight hex digits that failures of one kind share: the same task, the same first line but for what varies in it.

    Tasks that meet the same outage share them too: one cause, and one replay when it is over.
    """
    first = error.strip().split("\n", 1)[0][:400]
    plain = re.sub("##+", "#", _VARIES.sub(lambda found: found["code"] or "#", first))
    shared = _OUTAGE.search(first) and not _OWN.search(first)
    return hashlib.sha256((plain if shared else f"{task}\n{plain}").encode()).hexdigest()[:8]
