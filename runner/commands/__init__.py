"""THE WRITE DOOR: everything a person may do, each in one short transaction, each leaving an event that says who.

A `Door` works whether or not a runner lives. One module a noun; each adds its acts to the door.
"""

from __future__ import annotations

from runner.commands.alerts import AlertActs
from runner.commands.base import who
from runner.commands.brakes import BrakeActs
from runner.commands.drafts import DraftActs
from runner.commands.force import ForceActs, Forced, Targets, proof
from runner.commands.incidents import IncidentActs
from runner.commands.jobs import Bulk, JobActs
from runner.commands.money import MoneyActs, Raised, WrittenOff
from runner.commands.schedules import ScheduleActs
from runner.commands.switch import Killed, Resumed
from runner.enqueue import Enqueued, JobRequest, parse_payload

__all__ = [
    "Bulk",
    "Door",
    "Enqueued",
    "Forced",
    "JobRequest",
    "Killed",
    "Raised",
    "Resumed",
    "Targets",
    "WrittenOff",
    "parse_payload",
    "proof",
    "who",
]


class Door(ForceActs, JobActs, BrakeActs, ScheduleActs, MoneyActs, DraftActs, IncidentActs, AlertActs):
    """The write door of one home."""
