"""The list of irreversible actions that wait for a person."""

from __future__ import annotations

from collections.abc import Sequence

from console.format import age
from console.look import Role
from console.views.table import Column, Listing, Row
from runner.snapshot import Draft

_COLUMNS = (
    Column(title="draft", width=5, right=True),
    Column(title="does", width=12, grow=1, most=24),
    Column(title="what", width=24, grow=5),
    Column(title="drafted by", width=16, grow=1, most=36, rank=2),
    Column(title="waits", width=5, right=True, rank=1),
)


def approvals(drafts: Sequence[Draft], now: int, *, total: int) -> Listing:
    """Those that wait, the newest first."""
    return Listing(
        columns=_COLUMNS,
        rows=tuple(_row(draft, now) for draft in drafts),
        empty="nothing waits for approval",
        more_below=total > len(drafts),
    )


def _row(draft: Draft, now: int) -> Row:
    return Row(
        draft.id,
        (
            (str(draft.id), Role.PLAIN),
            (draft.performs, Role.ACCENT),
            (draft.summary or draft.payload, Role.PLAIN),
            (draft.job, Role.DIM),
            (age(now - draft.at), Role.DIM),
        ),
    )
