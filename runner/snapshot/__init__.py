"""THE READ DOOR: everything a screen or a listing may know, as frozen values.

A `Reader` holds one read-only connection. Each call is one short read transaction; nothing here writes or waits.
What it reads is sorted by noun: a new look goes beside its like, in the file that is named for it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from runner.snapshot.board import BoardReads
from runner.snapshot.jobs import JobReads
from runner.snapshot.money import MoneyReads
from runner.snapshot.report import ReportReads
from runner.snapshot.written import WrittenReads
from runner.spending import CapView, HeldCall, Holds
from runner.store.addresses import Address
from runner.store.alerts import Alert
from runner.store.attempts import Attempt
from runner.store.breakers import Breaker, BreakerState
from runner.store.drafts import Draft, DraftState
from runner.store.drills import Drill
from runner.store.events import Event
from runner.store.incidents import Incident, Note
from runner.store.jobs import Job, JobStatus
from runner.store.raises import Raise
from runner.store.rate_pauses import RatePause
from runner.store.runners import Runner, RunState
from runner.store.schedules import Schedule
from runner.views import (
    Alerts,
    BrakeView,
    Counts,
    Health,
    JobDetail,
    RunnerView,
    ScheduleView,
    SpendView,
    StopView,
    Unwritten,
    Vitals,
    Waiting,
)

if TYPE_CHECKING:
    from runner.price_age import ListDate
    from runner.report.values import Report
    from runner.report.words import drill_words, drills_line, gate_words, happened_words, hours_words, needs, skip_line
    from runner.snapshot.filter import EVERYTHING, EXAMPLES, BadFilter, Field, Filter, Term, parse
    from runner.snapshot.filter import WORDS as FIELD_WORDS
    from runner.snapshot.letters import DeadGroup, DeadPage, ReplayPlan
    from runner.snapshot.listing import Found
    from runner.snapshot.pace import HourSpend, Pace, PartSpend, Slice
    from runner.snapshot.printed import Printed
    from runner.status import status_json
    from runner.work.conversation import Verdict, told

__all__ = [
    "EVERYTHING",
    "EXAMPLES",
    "FIELD_WORDS",
    "Address",
    "Alert",
    "Alerts",
    "Attempt",
    "BadFilter",
    "BrakeView",
    "Breaker",
    "BreakerState",
    "CapView",
    "Counts",
    "DeadGroup",
    "DeadPage",
    "Draft",
    "DraftState",
    "Drill",
    "Event",
    "Field",
    "Filter",
    "Found",
    "Health",
    "HeldCall",
    "Holds",
    "HourSpend",
    "Incident",
    "Job",
    "JobDetail",
    "JobStatus",
    "ListDate",
    "Note",
    "Pace",
    "PartSpend",
    "Printed",
    "Raise",
    "RatePause",
    "Reader",
    "ReplayPlan",
    "Report",
    "RunState",
    "Runner",
    "RunnerView",
    "Schedule",
    "ScheduleView",
    "Slice",
    "SpendView",
    "StopView",
    "Term",
    "Unwritten",
    "Verdict",
    "Vitals",
    "Waiting",
    "drill_words",
    "drills_line",
    "gate_words",
    "happened_words",
    "hours_words",
    "needs",
    "parse",
    "skip_line",
    "status_json",
    "told",
]


_LATE = {
    "runner.snapshot.filter": ("EVERYTHING", "EXAMPLES", "BadFilter", "Field", "Filter", "Term", "parse"),
    "runner.snapshot.letters": ("DeadGroup", "DeadPage", "ReplayPlan"),
    "runner.snapshot.listing": ("Found",),
    "runner.snapshot.pace": ("HourSpend", "Pace", "PartSpend", "Slice"),
    "runner.price_age": ("ListDate",),
    "runner.snapshot.printed": ("Printed",),
    "runner.status": ("status_json",),
    "runner.report.values": ("Report",),
    "runner.report.words": (
        "drill_words",
        "drills_line",
        "gate_words",
        "happened_words",
        "hours_words",
        "needs",
        "skip_line",
    ),
    "runner.work.conversation": ("Verdict", "told"),
}
"""What is loaded when it is first asked for: a screen opens without it."""


def __getattr__(name: str) -> Any:
    if name == "FIELD_WORDS":
        return import_module("runner.snapshot.filter").WORDS
    for module, names in _LATE.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class Reader(BoardReads, JobReads, MoneyReads, ReportReads, WrittenReads):
    """Reads one database. Use it from one thread at a time; it outlives a replaced file."""
