"""What the rows of a sound database agree on: every counter and every promise, computed again from the rows.

Each rule is one statement that gives what breaks it, so an empty answer is a rule that holds.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One promise."""

    name: str
    holds: str
    """What is so when nothing breaks it."""
    broken: str
    """What is not so, before the examples."""
    sql: str
    """Gives the names of what breaks it."""
    mends: str | None = None
    """How it mends itself: then breaking it is no fault."""


COUNTS = Rule(
    name="counts",
    holds="the counters agree with the jobs",
    broken="counters that disagree with the jobs",
    sql="""
    WITH words (status) AS (VALUES ('pending'), ('running'), ('done'), ('halted'), ('cancelled'), ('dead')),
         there AS (SELECT status, count(*) AS jobs FROM jobs GROUP BY status),
         both AS (SELECT status, coalesce(jobs, 0) AS jobs,
                         CASE status WHEN 'pending' THEN pending WHEN 'running' THEN running WHEN 'done' THEN done
                                     WHEN 'halted' THEN halted WHEN 'cancelled' THEN cancelled ELSE dead END AS counted
                    FROM words LEFT JOIN there USING (status), board)
    SELECT status || ' (' || counted || ' counted, ' || jobs || ' there)' FROM both WHERE counted <> jobs
    """,
)
ENDS = Rule(
    name="ends",
    holds="every finished job ended once, and each that is done was done once",
    broken="jobs whose attempts tell another end",
    sql="""
    SELECT key FROM jobs WHERE finished_at IS NOT NULL
       AND EXISTS (SELECT 1 FROM attempts WHERE job_id = id AND outcome IS NULL)
    UNION ALL
    SELECT key FROM jobs
     WHERE (status = 'done') <> (SELECT count(*) FROM attempts WHERE job_id = id AND outcome = 'done')
    """,
)
LEASES = Rule(
    name="leases",
    holds="every running job has a lease and one attempt that is open, and nothing else has",
    broken="jobs whose lease and attempts disagree",
    sql="""
    SELECT key FROM jobs WHERE status = 'running'
       AND (SELECT count(*) FROM attempts WHERE job_id = id AND outcome IS NULL AND n = starts) <> 1
    UNION ALL
    SELECT key FROM attempts JOIN jobs ON id = job_id WHERE outcome IS NULL AND status <> 'running'
    UNION ALL
    SELECT key FROM jobs WHERE (status = 'running') <> (lease IS NOT NULL)
        OR (status = 'running') <> (lease_until IS NOT NULL) OR (status = 'running') <> (runner IS NOT NULL)
    """,
)
DEAD = Rule(
    name="dead",
    holds="the dead letters are counted by their errors",
    broken="errors whose dead letters are counted wrong",
    sql="""
    SELECT iif(fingerprint = '', 'no error', fingerprint) FROM (
        SELECT fingerprint, jobs FROM dead_groups
        UNION ALL
        SELECT coalesce(fingerprint, ''), -1 FROM jobs WHERE status = 'dead')
     GROUP BY fingerprint HAVING sum(jobs) <> 0
    """,
)
DAYS = Rule(
    name="days",
    holds="the sums of every day and task agree with the calls",
    broken="days whose sums disagree with the calls",
    sql="""
    SELECT day || ' ' || task FROM (
        SELECT day, task, settled, held FROM spend_totals
        UNION ALL SELECT day, task, -coalesce(cost, 0), -iif(state = 'held', hold, 0) FROM charges
        UNION ALL SELECT day, task, -settled, 0 FROM charges_folded)
     GROUP BY day, task HAVING sum(settled) <> 0 OR sum(held) <> 0
    """,
)
COSTS = Rule(
    name="costs",
    holds="what each job and attempt cost agrees with its calls",
    broken="jobs whose cost disagrees with their calls",
    sql="""
    SELECT key FROM jobs JOIN (
        SELECT id AS job, settled AS known, held AS reserved FROM jobs WHERE settled <> 0 OR held <> 0
        UNION ALL SELECT job_id, -coalesce(cost, 0), -iif(state = 'held', hold, 0) FROM charges) ON id = job
     GROUP BY job HAVING sum(known) <> 0 OR sum(reserved) <> 0
    UNION ALL
    SELECT key || ' attempt ' || n FROM jobs JOIN (
        SELECT job_id, n, cost FROM attempts WHERE cost <> 0
        UNION ALL SELECT job_id, n, -counted FROM charges JOIN attempts USING (job_id, n)) ON id = job_id
     GROUP BY job_id, n HAVING sum(cost) <> 0
    """,
)
HOLDS = Rule(
    name="holds",
    holds="every call in flight belongs to an attempt that is open",
    broken="calls in flight whose attempt has ended",
    mends="the runner's next start lets them stand, and `afk-runner spend --write-off ID` frees one",
    sql="""
    SELECT 'call ' || id FROM charges WHERE state = 'held' AND ended_at IS NULL AND NOT EXISTS (
        SELECT 1 FROM attempts WHERE attempts.job_id = charges.job_id AND attempts.n = charges.n AND outcome IS NULL)
    """,
)
SLOTS = Rule(
    name="slots",
    holds="every due time became one job or says why not",
    broken="jobs of more than one due time",
    sql="SELECT job_key FROM slots WHERE job_key IS NOT NULL GROUP BY job_key HAVING count(*) > 1",
)
DRAFTS = Rule(
    name="drafts",
    holds="every approved draft became one job",
    broken="jobs that several drafts became",
    sql="SELECT became FROM drafts WHERE became IS NOT NULL GROUP BY became HAVING count(*) > 1",
)
ALERTS = Rule(
    name="alerts",
    holds="every open incident knows whether its alert is over",
    broken="incidents whose alert is over and that do not say so",
    sql="""
    SELECT incidents.id FROM incidents JOIN alerts ON alerts.key = alert_key
     WHERE incidents.closed_at IS NULL AND settled_at IS NULL AND alerts.closed_at IS NOT NULL
    """,
)
NUMBERS = Rule(
    name="numbers",
    holds="no id can be given twice",
    broken="tables whose next id was given before",
    sql="""
    SELECT name FROM (SELECT 'jobs' AS name, max(id) AS last FROM jobs
                      UNION ALL SELECT 'drafts', max(id) FROM drafts
                      UNION ALL SELECT 'incidents', max(id) FROM incidents) AS tops
     WHERE last > coalesce((SELECT max(seq) FROM sqlite_sequence WHERE sqlite_sequence.name = tops.name), 0)
    """,
)
SWITCH = Rule(
    name="switch",
    holds="the stop switch is there",
    broken="missing from the control table, which counts as a stop",
    mends="afk-runner resume writes it anew",
    sql="SELECT 'the row stop' WHERE NOT EXISTS (SELECT 1 FROM control WHERE key = 'stop')",
)
ALL = (COUNTS, ENDS, LEASES, DEAD, DAYS, COSTS, HOLDS, SLOTS, DRAFTS, ALERTS, NUMBERS, SWITCH)
