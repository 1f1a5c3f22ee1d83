"""Jobs as a reader sees them: lists, searches, dead letters, one job whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from runner.errors import NotFound
from runner.late import Late
from runner.snapshot.opened import Opened
from runner.snapshot.state import runner_view, stop_view
from runner.store import attempts, controls, drafts, jobs, steps
from runner.store.attempts import Attempt
from runner.store.jobs import Job, JobStatus
from runner.units import UnixMs
from runner.views import JobDetail, columns

if TYPE_CHECKING:
    from runner.snapshot import letters, listing, printed, why
    from runner.snapshot.filter import Filter
    from runner.snapshot.letters import DeadPage, ReplayPlan
    from runner.snapshot.listing import Found
    from runner.snapshot.printed import Printed
    from runner.work import conversation
else:
    letters, listing, printed, why = (
        Late(f"runner.snapshot.{name}") for name in ("letters", "listing", "printed", "why")
    )
    conversation = Late("runner.work.conversation")


_RUNNING = {
    cut: f"""
SELECT {columns(cut=cut, of="jobs.")}, {", ".join(f"attempts.{name}" for name in attempts.COLUMNS)}
  FROM (SELECT id FROM jobs WHERE status = 'running' ORDER BY id LIMIT ?) AS running
 CROSS JOIN jobs ON jobs.id = running.id CROSS JOIN attempts ON job_id = running.id AND n = starts ORDER BY running.id
"""  # noqa: S608 - our own constants
    for cut in (False, True)
}


class JobReads(Opened):
    """Jobs, whatever their number: each look takes a page or looks up an index."""

    def jobs(
        self,
        *,
        status: JobStatus | None = None,
        task: str | None = None,
        upto: int | None = None,
        after: int | None = None,
        limit: int = 50,
        cut: bool = False,
    ) -> tuple[Job, ...]:
        """The newest jobs, newest first: a page of them, whatever their number.

        `upto`: the newest of those with this id or an older one. `after`: the oldest of those newer than this id.
        `cut`: long texts shortened to CUT characters, as a list needs no more.
        """
        wanted = (("status = ?", status), ("task = ?", task), ("id <= ?", upto), ("id > ?", after))
        where = " AND ".join(["TRUE", *(clause for clause, given in wanted if given is not None)])
        values = [given for _, given in wanted if given is not None]
        order = "DESC" if after is None else "ASC"
        sql = f"SELECT {columns(cut=cut)} FROM jobs WHERE {where} ORDER BY id {order} LIMIT ?"  # noqa: S608
        with self.reading() as db:
            found = [jobs.job_of(row) for row in db.execute(sql, (*values, limit))]
        return tuple(found if after is None else reversed(found))

    def find(
        self,
        wanted: Filter,
        *,
        now: UnixMs,
        beyond: int | None = None,
        oldest_first: bool = False,
        limit: int,
        most: int,
    ) -> Found:
        """Ids of jobs a filter means, beyond an id, after a look at about `most` rows at the most."""
        with self.reading() as db:
            return listing.find(db, wanted, now=now, beyond=beyond, oldest_first=oldest_first, limit=limit, most=most)

    def listed(
        self,
        ids: Sequence[int],
        wanted: Filter | None = None,
        *,
        now: UnixMs,
        dearest: int | None = None,
        cut: bool = True,
    ) -> tuple[Job, ...]:
        """Those of these jobs that are there and meant by the filter, in the order of `ids`. `cut` as in `jobs`.

        `dearest`: only so many, those that cost most, the dearest first.
        """
        with self.reading() as db:
            return listing.listed(db, ids, wanted, now=now, dearest=dearest, cut=cut)

    def total(self, wanted: Filter) -> int | None:
        """How many jobs a filter means, where counters know it."""
        with self.reading() as db:
            return listing.exact_total(db, wanted)

    def tasks(self, *, limit: int = 200) -> tuple[str, ...]:
        """Names of tasks that have jobs, by name."""
        with self.reading() as db:
            return tuple(listing.tasks(db, limit=limit))

    def running(self, *, limit: int = 200, cut: bool = False) -> tuple[tuple[Job, Attempt], ...]:
        """Running jobs, oldest first, each with the attempt in progress. `cut` as in `jobs`."""
        with self.glance() as db:
            rows = db.execute(_RUNNING[cut], (limit,)).fetchall()
        last = len(attempts.COLUMNS)
        return tuple((jobs.job_of(row[:-last]), attempts.attempt_of(row[-last:])) for row in rows)

    def dead(self, *, limit: int = 200, cut: bool = False) -> tuple[Job, ...]:
        """Dead letters, the newest first. `cut` as in `jobs`."""
        with self.reading() as db:
            return tuple(jobs.job_of(row) for row in db.execute(jobs.NEWEST_DEAD.format(columns(cut=cut)), (limit,)))

    def dead_ids(self, *, fingerprint: str | None = None) -> tuple[int, ...]:
        """Ids of all dead letters, or of those of one error, the newest death last: the frozen set of a replay."""
        with self.reading() as db:
            return letters.ids(db, fingerprint=fingerprint)

    def dead_page(
        self, *, unfolded: bool | None = None, turned: frozenset[str] = frozenset(), reach: dict[str, int] | None = None
    ) -> DeadPage:
        """Dead letters by error; see `letters.page`."""
        with self.reading() as db:
            return letters.page(db, unfolded=unfolded, turned=turned, reach=reach)

    def replay_plan(self, ids: Sequence[int]) -> ReplayPlan:
        """What there is to know of these dead jobs before they are replayed or removed; the others are left out."""
        with self.reading() as db:
            return letters.plan_of(db, ids)

    def replay_plan_of(self, fingerprint: str, *, died: UnixMs, id: int) -> ReplayPlan:
        """The same of an error, up to the letter that was its newest when it was shown."""
        with self.reading() as db:
            return letters.plan_of_group(db, fingerprint, died=died, id=id)

    def job(self, key: str | int, *, now: UnixMs) -> JobDetail:
        """One job by its key, or by its id, which no other job ever gets. Raises NotFound."""
        column = "id" if isinstance(key, int) else "key"
        sql = f"SELECT {jobs.COLUMNS} FROM jobs WHERE {column} = ?"  # noqa: S608
        with self.reading() as db:
            row = db.execute(sql, (key,)).fetchone()
            if row is None:
                raise NotFound(f"there is no job {key!r}; `afk-runner jobs` lists them")
            job = jobs.job_of(row)
            runner = runner_view(db, self.home, now=now)
            switches = controls.everything(db)
            return JobDetail(
                job=job,
                attempts=tuple(attempts.of_job(db, job.id)),
                steps=(recorded := steps.of_job(db, job.id)),
                verdicts=conversation.verdicts(recorded),
                drafts=tuple(drafts.of_job(db, job.id)),
                why=why.why(db, job, runner, stop_view(self.home, switches, runner), now=now),
            )

    def printed(self, job_id: int, n: int) -> Printed | None:
        """The end of what the job's n-th start printed so far; None: nothing, or it is no longer kept."""
        return printed.printed(self.home.attempt_file(job_id, n), n)
