-- What a home needs to be left alone for a month.

-- Incidents: what went wrong, until a person has written down why, and what was done about it.

CREATE TABLE incidents (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,         -- never reused: people write it down
    subject    TEXT    NOT NULL,                          -- the alert's key without its day, its level and its runner
    alert_key  TEXT    NOT NULL,                          -- of the newest alert that belongs to it
    level      TEXT    NOT NULL CHECK (level IN ('warn', 'error')),  -- the worst so far
    text       TEXT    NOT NULL,                          -- of the alert that opened it
    last_text  TEXT    NOT NULL,                          -- of the newest
    opened_at  INTEGER NOT NULL,
    last_at    INTEGER NOT NULL,
    alerts     INTEGER NOT NULL DEFAULT 1 CHECK (alerts >= 1),
    settled_at INTEGER,                                   -- when what it tells of was over; NULL: it still holds
    closed_at  INTEGER,                                   -- a person closes it, nothing else does
    closed_by  TEXT,
    cause      TEXT,
    fix        TEXT,
    CHECK ((closed_at IS NULL) = (closed_by IS NULL)),
    CHECK ((closed_at IS NULL) = (cause IS NULL)),
    CHECK ((closed_at IS NULL) = (fix IS NULL))
) STRICT;

CREATE UNIQUE INDEX incidents_open ON incidents (subject) WHERE closed_at IS NULL;
CREATE INDEX incidents_alert ON incidents (alert_key) WHERE closed_at IS NULL;
CREATE INDEX incidents_opened ON incidents (opened_at);

CREATE TABLE incident_notes (
    id       INTEGER PRIMARY KEY,
    incident INTEGER NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
    at       INTEGER NOT NULL,
    by       TEXT    NOT NULL,
    text     TEXT    NOT NULL
) STRICT;

CREATE INDEX incident_notes_of ON incident_notes (incident, id);

CREATE TRIGGER incidents_added AFTER INSERT ON incidents BEGIN UPDATE board SET change_seq = change_seq + 1; END;
CREATE TRIGGER incidents_moved AFTER UPDATE ON incidents BEGIN UPDATE board SET change_seq = change_seq + 1; END;
CREATE TRIGGER incident_notes_added AFTER INSERT ON incident_notes BEGIN
    UPDATE board SET change_seq = change_seq + 1;
END;

-- The journal only grows: an open incident is never deleted, a closed one keeps its words, as does every note.
CREATE TRIGGER incidents_stay BEFORE DELETE ON incidents WHEN OLD.closed_at IS NULL BEGIN
    SELECT RAISE(ABORT, 'an open incident is closed by a person before it goes');
END;
CREATE TRIGGER incidents_fixed BEFORE UPDATE ON incidents
WHEN OLD.closed_at IS NOT NULL OR NEW.id <> OLD.id OR NEW.subject <> OLD.subject OR NEW.text <> OLD.text
  OR NEW.opened_at <> OLD.opened_at OR NEW.alerts < OLD.alerts BEGIN
    SELECT RAISE(ABORT, 'an incident keeps its words and is closed once');
END;
CREATE TRIGGER incident_notes_fixed BEFORE UPDATE ON incident_notes BEGIN
    SELECT RAISE(ABORT, 'a note keeps its words');
END;
CREATE TRIGGER incident_notes_stay BEFORE DELETE ON incident_notes
WHEN EXISTS (SELECT 1 FROM incidents WHERE id = OLD.incident AND closed_at IS NULL) BEGIN
    SELECT RAISE(ABORT, 'the notes of an open incident stay');
END;

-- Whoever closes an alert, and however: what the incident tells of is over from then on.
CREATE TRIGGER alerts_settle_incidents AFTER UPDATE OF closed_at ON alerts
WHEN OLD.closed_at IS NULL AND NEW.closed_at IS NOT NULL BEGIN
    UPDATE incidents SET settled_at = NEW.closed_at
     WHERE alert_key = NEW.key AND closed_at IS NULL AND settled_at IS NULL;
END;

-- Drills: when it was last seen that what guards the home works.

CREATE TABLE drills (
    name      TEXT PRIMARY KEY,                           -- stop, cap, breaker, alert, rescue
    proven_at INTEGER,                                    -- NULL: it never was
    proven_by TEXT,
    version   TEXT,                                       -- of the program that was proven
    failed_at INTEGER,                                    -- the last time it was not; later than proven_at: it stands
    fault     TEXT
) STRICT, WITHOUT ROWID;

CREATE TRIGGER drills_added AFTER INSERT ON drills BEGIN UPDATE board SET change_seq = change_seq + 1; END;
CREATE TRIGGER drills_moved AFTER UPDATE ON drills BEGIN UPDATE board SET change_seq = change_seq + 1; END;

-- What the report counts, a quarter of an hour at a time, for every zone's midnight falls between two of them. Rows of
-- jobs and events are pruned, and a day may have a million: these counters stay, and are few.

CREATE TABLE outcomes (
    quarter INTEGER NOT NULL,                             -- since 1970, in which the job ended
    task    TEXT    NOT NULL,
    status  TEXT    NOT NULL CHECK (status IN ('done', 'halted') OR status IN ('cancelled', 'dead')),
    jobs    INTEGER NOT NULL,
    cost    INTEGER NOT NULL,                             -- of their attempts since they were queued or replayed, holds included
    PRIMARY KEY (quarter, task, status)
) STRICT, WITHOUT ROWID;

CREATE TABLE happenings (
    quarter INTEGER NOT NULL,
    event   TEXT    NOT NULL,                             -- stop.set, breaker.open, job.retry, ...
    task    TEXT    NOT NULL,                             -- empty: of none
    number  INTEGER NOT NULL,
    PRIMARY KEY (quarter, event, task)
) STRICT, WITHOUT ROWID;

INSERT INTO outcomes (quarter, task, status, jobs, cost)
SELECT finished_at / 900000, task, status, count(*), sum(settled + held) FROM jobs
 WHERE status NOT IN ('pending', 'running') GROUP BY 1, 2, 3;

INSERT INTO happenings (quarter, event, task, number)
SELECT at / 900000, event, coalesce(task, ''), count(*) FROM events
 WHERE level <> 'info' OR substr(event, 1, 4) <> 'job.' GROUP BY 1, 2, 3;

-- Jobs of one task that are done one after the other are counted on the board first, whose page every finish writes
-- anyway; `ended` is all that was counted.
ALTER TABLE board ADD COLUMN tally_quarter INTEGER NOT NULL DEFAULT 0;
ALTER TABLE board ADD COLUMN tally_task TEXT NOT NULL DEFAULT '';
ALTER TABLE board ADD COLUMN tally_jobs INTEGER NOT NULL DEFAULT 0;
ALTER TABLE board ADD COLUMN tally_cost INTEGER NOT NULL DEFAULT 0;
ALTER TABLE board ADD COLUMN done_at INTEGER;                         -- when a job was last done, and
ALTER TABLE board ADD COLUMN done_key TEXT;                           -- which

CREATE VIEW ended AS
SELECT quarter, task, status, jobs, cost FROM outcomes
UNION ALL SELECT tally_quarter, tally_task, 'done', tally_jobs, tally_cost FROM board WHERE tally_jobs > 0;

-- What models answered to a job that has not recorded it yet: it is paid for, and goes with the step it becomes, or with
-- the end of the job, whatever ends it.
CREATE TABLE answers (
    job_id   INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    step     TEXT    NOT NULL,                            -- the name of the step that is to record it
    question TEXT    NOT NULL,                            -- a hash of what was asked
    body     TEXT    NOT NULL,
    PRIMARY KEY (job_id, step)
) STRICT;

-- What a job that moves is counted by. Each trigger costs every move a step of its own, so there are few, and the two
-- ways nearly every job goes have one each. What it cost is counted since it was queued, or since its last replay; a
-- replay that is undone is no second death.
DROP TRIGGER jobs_done;
CREATE TRIGGER jobs_done AFTER UPDATE OF status ON jobs
WHEN NEW.status = 'done' AND OLD.status IN ('running', 'pending') BEGIN
    INSERT INTO outcomes (quarter, task, status, jobs, cost)
    SELECT tally_quarter, tally_task, 'done', tally_jobs, tally_cost FROM board
     WHERE tally_jobs > 0 AND (tally_quarter <> NEW.finished_at / 900000 OR tally_task <> NEW.task)
    ON CONFLICT DO UPDATE SET jobs = jobs + excluded.jobs, cost = cost + excluded.cost;
    UPDATE board
       SET change_seq = change_seq + 1,
           pending = pending - (OLD.status = 'pending'), running = running - (OLD.status = 'running'), done = done + 1,
           tally_jobs = 1 + iif(tally_quarter = NEW.finished_at / 900000 AND tally_task = NEW.task, tally_jobs, 0),
           tally_cost = iif(tally_quarter = NEW.finished_at / 900000 AND tally_task = NEW.task, tally_cost, 0)
                      + iif(NEW.settled + NEW.held = 0, 0,
                            (SELECT coalesce(sum(cost), 0) FROM attempts WHERE job_id = NEW.id
                                AND n > coalesce((SELECT starts FROM replays WHERE job_id = NEW.id), 0))),
           tally_quarter = NEW.finished_at / 900000,
           tally_task = NEW.task,
           done_at = NEW.finished_at,
           done_key = NEW.key;
    DELETE FROM answers WHERE job_id = NEW.id;
END;

DROP TRIGGER jobs_moved;
CREATE TRIGGER jobs_moved AFTER UPDATE OF status ON jobs
WHEN OLD.status <> NEW.status AND NOT (OLD.status = 'pending' AND NEW.status = 'running')
 AND NOT (NEW.status = 'done' AND OLD.status IN ('running', 'pending')) BEGIN
    UPDATE board SET change_seq = change_seq + 1,
        pending = pending + (NEW.status = 'pending') - (OLD.status = 'pending'),
        running = running + (NEW.status = 'running') - (OLD.status = 'running'),
        done = done + (NEW.status = 'done') - (OLD.status = 'done'),
        halted = halted + (NEW.status = 'halted') - (OLD.status = 'halted'),
        cancelled = cancelled + (NEW.status = 'cancelled') - (OLD.status = 'cancelled'),
        dead = dead + (NEW.status = 'dead') - (OLD.status = 'dead');
    INSERT INTO outcomes (quarter, task, status, jobs, cost)
    SELECT NEW.finished_at / 900000, NEW.task, NEW.status, 1,
           iif(NEW.settled + NEW.held = 0, 0,
               (SELECT coalesce(sum(cost), 0) FROM attempts WHERE job_id = NEW.id
                   AND n > coalesce((SELECT starts FROM replays WHERE job_id = NEW.id), 0)))
     WHERE (NEW.status IN ('halted', 'cancelled') AND OLD.status IN ('pending', 'running'))
        OR (NEW.status = 'dead' AND OLD.status = 'running')
    ON CONFLICT DO UPDATE SET jobs = jobs + 1, cost = cost + excluded.cost;
    DELETE FROM answers WHERE NEW.status <> 'pending' AND NEW.status <> 'running' AND job_id = NEW.id;
END;

DROP TRIGGER jobs_added;
DROP TRIGGER dead_added;
CREATE TRIGGER jobs_added AFTER INSERT ON jobs BEGIN
    UPDATE board SET change_seq = change_seq + 1, pending = pending + 1 WHERE NEW.status = 'pending';
    UPDATE board SET change_seq = change_seq + 1,
        running = running + (NEW.status = 'running'), done = done + (NEW.status = 'done'),
        halted = halted + (NEW.status = 'halted'), cancelled = cancelled + (NEW.status = 'cancelled'),
        dead = dead + (NEW.status = 'dead')
     WHERE NEW.status <> 'pending';
    INSERT INTO dead_groups (fingerprint, jobs, last_at)
    SELECT coalesce(NEW.fingerprint, ''), 1, NEW.finished_at WHERE NEW.status = 'dead'
    ON CONFLICT DO UPDATE SET jobs = jobs + 1, last_at = max(last_at, excluded.last_at);
END;

CREATE TRIGGER events_counted AFTER INSERT ON events WHEN NEW.level <> 'info' OR substr(NEW.event, 1, 4) <> 'job.' BEGIN
    INSERT INTO happenings (quarter, event, task, number)
    VALUES (NEW.at / 900000, NEW.event, coalesce(NEW.task, ''), 1)
    ON CONFLICT DO UPDATE SET number = number + 1;
END;

-- What happened to the home rather than to a job, each kind by its time.
CREATE INDEX events_story ON events (event, at) WHERE substr(event, 1, 4) <> 'job.';

-- Schedules: what else a listing says of one, and which slots' jobs are not over.
ALTER TABLE schedules ADD COLUMN policy TEXT NOT NULL DEFAULT '';
ALTER TABLE schedules ADD COLUMN overlap INTEGER NOT NULL DEFAULT 1;
ALTER TABLE schedules ADD COLUMN waiting INTEGER NOT NULL DEFAULT 0;  -- slots whose turn comes when a job ends
ALTER TABLE schedules ADD COLUMN dealt_to INTEGER NOT NULL DEFAULT 0; -- no slot up to here is owed
ALTER TABLE schedules ADD COLUMN skips INTEGER NOT NULL DEFAULT 0;    -- slots in a row that nobody wanted skipped
ALTER TABLE schedules ADD COLUMN skips_since INTEGER;                 -- when the first of them was due
UPDATE schedules SET dealt_to = max(since, coalesce((SELECT max(due_at) FROM slots WHERE schedule = name), 0));
ALTER TABLE slots ADD COLUMN open INTEGER NOT NULL DEFAULT 0;         -- 1: its job was not over at the last look
CREATE INDEX slots_open ON slots (schedule, due_at) WHERE open = 1;
UPDATE slots SET open = 1 WHERE job_key IN (SELECT key FROM jobs WHERE status = 'pending' OR status = 'running');

-- Care of the data.

-- Which home this is: a copy says the same, so a restored backup can be told from somebody else's.
INSERT INTO control (key, value) VALUES ('home', lower(hex(randomblob(16))));

-- What is left of calls that were let go of when nobody needed their rows any more: the sums of days stay true.
CREATE TABLE charges_folded (
    day     TEXT    NOT NULL,
    task    TEXT    NOT NULL,
    model   TEXT    NOT NULL,                             -- empty: carried over from a ledger that had no row of it either
    calls   INTEGER NOT NULL,
    settled INTEGER NOT NULL CHECK (settled >= 0),
    PRIMARY KEY (day, task, model)
) STRICT, WITHOUT ROWID;

-- A hold counts until it is settled, released or written off: no row of it goes before.
CREATE TRIGGER charges_stay BEFORE DELETE ON charges WHEN OLD.state = 'held' BEGIN
    SELECT RAISE(ABORT, 'a hold that counts is not deleted');
END;

-- Alerts: how often an edge came while it held, and who was told what of it.
ALTER TABLE alerts ADD COLUMN edge INTEGER NOT NULL DEFAULT 1;        -- goes up when it comes anew after a calm
ALTER TABLE alerts ADD COLUMN times INTEGER NOT NULL DEFAULT 1;       -- how often it came, within this edge
ALTER TABLE alerts ADD COLUMN last_at INTEGER NOT NULL DEFAULT 0;     -- when it came last
ALTER TABLE alerts ADD COLUMN ending TEXT CHECK (ending IN ('settled', 'lapsed', 'closed'));
ALTER TABLE alerts ADD COLUMN end_text TEXT;                          -- what is told of its end; NULL: that it is over
ALTER TABLE alerts ADD COLUMN owed INTEGER NOT NULL DEFAULT 1;        -- 0: every address knows how it stands
UPDATE alerts SET last_at = at, ending = iif(closed_at IS NULL, NULL, 'settled'), owed = closed_at IS NULL;
CREATE INDEX alerts_owed ON alerts (id) WHERE owed = 1;

-- What an address was told of an edge; no row: nothing.
CREATE TABLE tellings (
    alert    INTEGER NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
    address  TEXT    NOT NULL,
    edge     INTEGER NOT NULL,                            -- an older one than the alert's: nothing of this one
    times    INTEGER NOT NULL,
    over     INTEGER NOT NULL CHECK (over IN (0, 1)),     -- 1: also that it is over
    messages INTEGER NOT NULL,
    at       INTEGER NOT NULL,                            -- of the last message
    PRIMARY KEY (alert, address)
) STRICT, WITHOUT ROWID;

-- Where alerts go, by names that hold no secret, and when one that fails is tried again.
CREATE TABLE addresses (
    name          TEXT PRIMARY KEY,
    took_at       INTEGER,                                -- when it last took a message
    failures      INTEGER NOT NULL DEFAULT 0,             -- in a row
    failing_since INTEGER,
    next_at       INTEGER,                                -- NULL: it does not fail
    last_error    TEXT
) STRICT, WITHOUT ROWID;

CREATE TRIGGER addresses_added AFTER INSERT ON addresses BEGIN UPDATE board SET change_seq = change_seq + 1; END;
CREATE TRIGGER addresses_moved AFTER UPDATE ON addresses BEGIN UPDATE board SET change_seq = change_seq + 1; END;

-- The runner: why it parked itself, and what last went well, for one that lives and achieves nothing is seen by no heartbeat.
ALTER TABLE runners ADD COLUMN note TEXT;
ALTER TABLE board ADD COLUMN called_at INTEGER;                       -- when a model call last came to a cost, and
ALTER TABLE board ADD COLUMN called_model TEXT;                       -- of which model

CREATE TRIGGER charges_settled_noted AFTER UPDATE OF state ON charges WHEN NEW.state = 'settled' AND OLD.state = 'held' BEGIN
    UPDATE board SET called_at = NEW.ended_at, called_model = NEW.model;
END;
