"""The panes of the board, each loaded and made when it is first asked for: the first picture needs one alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType

from console.look import Look
from console.panes.pane import Pane
from console.seen import View

KINDS: Mapping[View, str] = MappingProxyType(
    {
        View.HOME: "HomePane",
        View.JOBS: "JobsPane",
        View.DEAD: "DeadPane",
        View.APPROVALS: "ApprovalsPane",
        View.SCHEDULES: "SchedulesPane",
        View.LOG: "LogPane",
        View.JOB: "JobPane",
        View.SPEND: "SpendPane",
        View.BREAKERS: "BreakersPane",
        View.REPORT: "ReportPane",
    }
)
"""Where each view is drawn: a class of the module in this package that has the view's name."""


class Shelf(dict[View, Pane]):
    """Those that were made, by view; asking for another one makes it."""

    def __init__(self, look: Look, monotonic: Callable[[], float], made: Callable[[Pane], object]) -> None:
        """`made` is told of each new one."""
        super().__init__()
        self._look = look
        self._monotonic = monotonic
        self._made = made

    def __missing__(self, view: View) -> Pane:
        name = view.name.lower()
        kind = getattr(import_module(f"console.panes.{name}"), KINDS[view])
        pane: Pane = kind(self._look, self._monotonic, id=name)
        self[view] = pane
        self._made(pane)
        return pane

    def missing(self) -> View | None:
        """One that was not made yet."""
        return next((view for view in KINDS if view not in self), None)
