"""The report, the incidents and the drills."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.errors import NotFound
from runner.lock import lock_is_held
from runner.snapshot.opened import Opened
from runner.snapshot.state import runner_view, stop_view
from runner.store import controls, drills, incidents
from runner.store.drills import Drill
from runner.store.incidents import Incident, Note
from runner.units import UnixMs

if TYPE_CHECKING:
    from runner.report.values import Report


class ReportReads(Opened):
    """What happened, and what became of it."""

    def report(self, *, days: int = 2, now: UnixMs) -> Report:
        """The last so many calendar days of the cap's zone, today among them."""
        from runner.report import gather  # noqa: PLC0415 - a screen opens without it

        with self.reading() as db:
            runner = runner_view(db, self.home, now=now)
            stop = stop_view(self.home, controls.everything(db), runner)
            lives = lock_is_held(self.home.lock)
            return gather.gather(db, days=days, now=now, runner=runner, stop=stop, runner_lives=lives)

    def incidents(self, *, closed: bool = False, limit: int = 200) -> tuple[Incident, ...]:
        """Those that are open, the newest first; with `closed` the others as well."""
        with self.reading() as db:
            return tuple(incidents.newest(db, limit=limit) if closed else incidents.still_open(db, limit=limit))

    def incidents_open(self) -> int:
        """How many wait for a cause and a fix."""
        with self.reading() as db:
            return incidents.number_open(db)

    def incident(self, id: int) -> tuple[Incident, tuple[Note, ...]]:
        """One with its journal, oldest note first. Raises NotFound."""
        with self.reading() as db:
            found = incidents.get(db, id)
            if found is None:
                raise NotFound(f"there is no incident {id}; `afk-runner incidents --all` lists them")
            return found, tuple(incidents.notes(db, id))

    def drills(self) -> tuple[Drill, ...]:
        """When each was last proven."""
        with self.reading() as db:
            return tuple(drills.all_of(db))
