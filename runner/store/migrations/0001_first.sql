-- The first schema. Money is whole micro-dollars, time whole UTC milliseconds.
-- Counters and totals are kept by triggers, so that they are right whoever writes, a person with sqlite3 included.
-- A rule names its words two by two: of more than two in one list SQLite builds a table, anew with every row it checks.

-- One unit of work of a task.
CREATE TABLE jobs (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,  -- never reused: screens hold ids
    key               TEXT    NOT NULL UNIQUE,
    task              TEXT    NOT NULL,
    payload           TEXT    NOT NULL CHECK (json_valid(payload)),
    status            TEXT    NOT NULL DEFAULT 'pending'
                      CHECK (status IN ('pending', 'running') OR status IN ('done', 'halted') OR status IN ('cancelled', 'dead')),
    priority          INTEGER NOT NULL DEFAULT 0 CHECK (priority BETWEEN -9 AND 9),
    not_before        INTEGER NOT NULL,                   -- earliest start
    attempts          INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),  -- ended and counted; a snooze is not
    starts            INTEGER NOT NULL DEFAULT 0,         -- every start, counted or not: the number of the last attempt row
    rescues           INTEGER NOT NULL DEFAULT 0,         -- times its runner vanished under it
    max_attempts      INTEGER NOT NULL CHECK (max_attempts >= 1),
    max_usd           INTEGER CHECK (max_usd >= 0),       -- over all attempts
    max_seconds_ms    INTEGER CHECK (max_seconds_ms > 0), -- of one attempt; NULL: the task's
    max_output_tokens INTEGER CHECK (max_output_tokens > 0),
    lease             TEXT,                               -- token every write of a running job names
    lease_until       INTEGER,
    runner            TEXT,                               -- who holds the lease
    cancel            INTEGER NOT NULL DEFAULT 0,         -- 1: a person asked for the end of a running job
    settled           INTEGER NOT NULL DEFAULT 0,         -- what its calls cost
    held              INTEGER NOT NULL DEFAULT 0,         -- what is reserved for its calls
    waiting_gate      TEXT,                               -- what it was put back for: cap:day, breaker:NAME, retry, ...
    waiting_on        TEXT,                               -- the same as a sentence's worth of fact
    result            TEXT,
    error             TEXT,
    fingerprint       TEXT,                               -- of the error, without its numbers and names
    created_at        INTEGER NOT NULL,
    finished_at       INTEGER,
    CHECK ((status = 'running') = (lease IS NOT NULL)),
    CHECK ((status IN ('pending', 'running')) = (finished_at IS NULL))
) STRICT;

-- Running before pending: a claim moves its entry to the neighbouring place of the same page, so it writes one page of
-- this index and not one each of two.
CREATE INDEX jobs_open ON jobs (status DESC, priority DESC, not_before, id) WHERE status = 'pending' OR status = 'running';
CREATE INDEX jobs_dead ON jobs (finished_at, id) WHERE status = 'dead';
CREATE INDEX jobs_waiting ON jobs (waiting_gate) WHERE status = 'pending' AND waiting_gate IS NOT NULL;

-- One start of a job. outcome NULL: still running.
CREATE TABLE attempts (
    job_id     INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    n          INTEGER NOT NULL,
    runner     TEXT    NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at   INTEGER,
    outcome    TEXT CHECK (outcome IN ('done', 'retry') OR outcome IN ('dead', 'halted') OR outcome IN ('snoozed', 'rescued')
                        OR outcome = 'cancelled'),
    error      TEXT,
    tail       TEXT,                                      -- the end of what it printed
    cost       INTEGER NOT NULL DEFAULT 0,                -- settled and held of its calls
    PRIMARY KEY (job_id, n)
) STRICT, WITHOUT ROWID;

-- A recorded part of a job: a later attempt takes the result instead of doing it again.
CREATE TABLE steps (
    job_id INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    name   TEXT    NOT NULL,
    result TEXT    NOT NULL CHECK (json_valid(result)),
    n      INTEGER NOT NULL,                              -- the attempt that recorded it
    at     INTEGER NOT NULL,
    PRIMARY KEY (job_id, name)
) STRICT, WITHOUT ROWID;

-- What a schedule was first seen as; a changed declaration starts it anew.
CREATE TABLE schedules (
    name    TEXT PRIMARY KEY,
    spec    TEXT    NOT NULL,
    since   INTEGER NOT NULL,                             -- no slot before this was ever owed
    next_at INTEGER                                       -- NULL: nothing more to come
) STRICT, WITHOUT ROWID;

-- One due time of a schedule. A slot fires once whatever restarts: UNIQUE says so.
CREATE TABLE slots (
    schedule TEXT    NOT NULL,
    due_at   INTEGER NOT NULL,
    at       INTEGER NOT NULL,                            -- when it was dealt with
    job_key  TEXT,                                        -- what it became, or
    skipped  TEXT,                                        -- why it did not
    PRIMARY KEY (schedule, due_at),
    CHECK ((job_key IS NULL) <> (skipped IS NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE pauses (
    name   TEXT PRIMARY KEY,                              -- of a task; its schedule pauses with it
    reason TEXT NOT NULL,
    by     TEXT NOT NULL,
    at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One model call. The ledger outlives the job.
CREATE TABLE charges (
    id         INTEGER PRIMARY KEY,
    day        TEXT    NOT NULL,                          -- fixed when the hold is made
    zone       TEXT    NOT NULL,
    held_at    INTEGER NOT NULL,
    job_id     INTEGER NOT NULL,
    n          INTEGER NOT NULL,                          -- the attempt
    task       TEXT    NOT NULL,
    upstream   TEXT    NOT NULL,
    model      TEXT    NOT NULL,
    runner     TEXT    NOT NULL,
    state      TEXT    NOT NULL DEFAULT 'held' CHECK (state IN ('held', 'settled') OR state = 'released'),
    hold       INTEGER NOT NULL CHECK (hold >= 0),        -- upper bound of the cost
    cost       INTEGER CHECK (cost >= 0),                 -- true cost, once known
    ended_at   INTEGER,                                   -- NULL: in flight, or its runner died in it
    note       TEXT,                                      -- why it was released, or why the hold stands
    usage      TEXT,
    counted    INTEGER NOT NULL GENERATED ALWAYS AS
               (CASE state WHEN 'held' THEN hold WHEN 'settled' THEN cost ELSE 0 END) VIRTUAL,
    CHECK ((state = 'settled') = (cost IS NOT NULL))
) STRICT;

CREATE INDEX charges_time ON charges (held_at, counted);
CREATE INDEX charges_job ON charges (job_id);
CREATE INDEX charges_open ON charges (id) WHERE state = 'held';

CREATE TABLE spend_totals (
    day     TEXT    NOT NULL,
    task    TEXT    NOT NULL,
    settled INTEGER NOT NULL DEFAULT 0,
    held    INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (day, task)
) STRICT, WITHOUT ROWID;

CREATE TABLE breakers (
    name        TEXT PRIMARY KEY,                         -- upstream/model
    state       TEXT    NOT NULL DEFAULT 'closed' CHECK (state IN ('closed', 'open', 'half_open')),
    failures    INTEGER NOT NULL DEFAULT 0,               -- in a row
    opens       INTEGER NOT NULL DEFAULT 0,               -- in a row: the cool-down doubles with each
    retry_at    INTEGER,                                  -- when a trial may go; NULL and open: only a person closes it
    trial       INTEGER,                                  -- the charge that is the one trial
    trial_until INTEGER,                                  -- after this the trial counts as lost
    reason      TEXT,
    changed_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The switches, and what the running runner was configured with.
CREATE TABLE control (
    key    TEXT PRIMARY KEY,
    value  TEXT    NOT NULL,                              -- stop: 0 off, 1 stop, 2 stop without grace
    seq    INTEGER NOT NULL DEFAULT 0,                    -- times it was set
    reason TEXT,
    by     TEXT,
    at     INTEGER
) STRICT, WITHOUT ROWID;

INSERT INTO control (key, value) VALUES ('stop', '0');

CREATE TABLE runners (
    id           TEXT PRIMARY KEY,                        -- of one process, never reused
    pid          INTEGER NOT NULL,
    pid_started  TEXT    NOT NULL,                        -- tells a recycled pid
    boot         TEXT    NOT NULL,
    host         TEXT    NOT NULL,
    version      TEXT    NOT NULL,
    state        TEXT    NOT NULL,
    reason       TEXT,
    started_at   INTEGER NOT NULL,
    heartbeat_at INTEGER NOT NULL,
    stop_seq     INTEGER NOT NULL DEFAULT 0,              -- the last stop it has acted on
    ended        TEXT                                     -- how it went; NULL: it did not say
) STRICT, WITHOUT ROWID;

-- What happened, for the console's tail; bounded.
CREATE TABLE events (
    id      INTEGER PRIMARY KEY,                          -- grows: the newest row is never pruned
    at      INTEGER NOT NULL,
    level   TEXT    NOT NULL CHECK (level = 'info' OR level IN ('warn', 'error')),
    event   TEXT    NOT NULL,                             -- a stable word: job.done, stop.set
    task    TEXT,
    job     TEXT,
    attempt INTEGER,
    text    TEXT    NOT NULL
) STRICT;

-- One row: what a screen must know first.
CREATE TABLE board (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    change_seq INTEGER NOT NULL DEFAULT 0,                -- moves with every change worth showing
    pending    INTEGER NOT NULL DEFAULT 0,
    running    INTEGER NOT NULL DEFAULT 0,
    done       INTEGER NOT NULL DEFAULT 0,
    halted     INTEGER NOT NULL DEFAULT 0,
    cancelled  INTEGER NOT NULL DEFAULT 0,
    dead       INTEGER NOT NULL DEFAULT 0
) STRICT;

INSERT INTO board (id) VALUES (1);

CREATE TRIGGER jobs_added AFTER INSERT ON jobs BEGIN
    UPDATE board SET change_seq = change_seq + 1,
        pending = pending + (NEW.status = 'pending'), running = running + (NEW.status = 'running'),
        done = done + (NEW.status = 'done'), halted = halted + (NEW.status = 'halted'),
        cancelled = cancelled + (NEW.status = 'cancelled'), dead = dead + (NEW.status = 'dead');
END;

CREATE TRIGGER jobs_moved AFTER UPDATE OF status ON jobs WHEN OLD.status <> NEW.status BEGIN
    UPDATE board SET change_seq = change_seq + 1,
        pending = pending + (NEW.status = 'pending') - (OLD.status = 'pending'),
        running = running + (NEW.status = 'running') - (OLD.status = 'running'),
        done = done + (NEW.status = 'done') - (OLD.status = 'done'),
        halted = halted + (NEW.status = 'halted') - (OLD.status = 'halted'),
        cancelled = cancelled + (NEW.status = 'cancelled') - (OLD.status = 'cancelled'),
        dead = dead + (NEW.status = 'dead') - (OLD.status = 'dead');
END;

CREATE TRIGGER jobs_touched AFTER UPDATE OF not_before, cancel, priority, rescues ON jobs
WHEN OLD.status = NEW.status BEGIN
    UPDATE board SET change_seq = change_seq + 1;
END;

CREATE TRIGGER jobs_removed AFTER DELETE ON jobs BEGIN
    UPDATE board SET change_seq = change_seq + 1,
        pending = pending - (OLD.status = 'pending'), running = running - (OLD.status = 'running'),
        done = done - (OLD.status = 'done'), halted = halted - (OLD.status = 'halted'),
        cancelled = cancelled - (OLD.status = 'cancelled'), dead = dead - (OLD.status = 'dead');
END;

CREATE TRIGGER charges_added AFTER INSERT ON charges BEGIN
    INSERT INTO spend_totals (day, task, settled, held)
    VALUES (NEW.day, NEW.task, coalesce(NEW.cost, 0), iif(NEW.state = 'held', NEW.hold, 0))
    ON CONFLICT DO UPDATE SET settled = settled + excluded.settled, held = held + excluded.held;
    UPDATE jobs SET settled = settled + coalesce(NEW.cost, 0), held = held + iif(NEW.state = 'held', NEW.hold, 0)
     WHERE id = NEW.job_id;
    UPDATE attempts SET cost = cost + NEW.counted WHERE job_id = NEW.job_id AND n = NEW.n;
    UPDATE board SET change_seq = change_seq + 1;
END;

CREATE TRIGGER charges_moved AFTER UPDATE OF state, hold, cost ON charges BEGIN
    UPDATE spend_totals
       SET settled = settled + coalesce(NEW.cost, 0) - coalesce(OLD.cost, 0),
           held = held + iif(NEW.state = 'held', NEW.hold, 0) - iif(OLD.state = 'held', OLD.hold, 0)
     WHERE day = NEW.day AND task = NEW.task;
    UPDATE jobs
       SET settled = settled + coalesce(NEW.cost, 0) - coalesce(OLD.cost, 0),
           held = held + iif(NEW.state = 'held', NEW.hold, 0) - iif(OLD.state = 'held', OLD.hold, 0)
     WHERE id = NEW.job_id;
    UPDATE attempts SET cost = cost + NEW.counted - OLD.counted WHERE job_id = NEW.job_id AND n = NEW.n;
    UPDATE board SET change_seq = change_seq + 1;
END;

-- A ledger row's identity, day and amount asked never change, and a charge ends once.
CREATE TRIGGER charges_fixed BEFORE UPDATE ON charges
WHEN NEW.day <> OLD.day OR NEW.task <> OLD.task OR NEW.job_id <> OLD.job_id OR OLD.state <> 'held' BEGIN
    SELECT RAISE(ABORT, 'a charge is settled once and keeps its day');
END;

CREATE TRIGGER breakers_added AFTER INSERT ON breakers BEGIN UPDATE board SET change_seq = change_seq + 1; END;
CREATE TRIGGER breakers_moved AFTER UPDATE ON breakers BEGIN UPDATE board SET change_seq = change_seq + 1; END;
CREATE TRIGGER control_added AFTER INSERT ON control BEGIN UPDATE board SET change_seq = change_seq + 1; END;
CREATE TRIGGER control_moved AFTER UPDATE ON control BEGIN UPDATE board SET change_seq = change_seq + 1; END;
CREATE TRIGGER pauses_added AFTER INSERT ON pauses BEGIN UPDATE board SET change_seq = change_seq + 1; END;
CREATE TRIGGER pauses_removed AFTER DELETE ON pauses BEGIN UPDATE board SET change_seq = change_seq + 1; END;
CREATE TRIGGER slots_added AFTER INSERT ON slots BEGIN UPDATE board SET change_seq = change_seq + 1; END;
CREATE TRIGGER schedules_moved AFTER UPDATE ON schedules BEGIN UPDATE board SET change_seq = change_seq + 1; END;
CREATE TRIGGER events_added AFTER INSERT ON events BEGIN UPDATE board SET change_seq = change_seq + 1; END;
CREATE TRIGGER runners_moved AFTER UPDATE OF state, reason, stop_seq, ended ON runners BEGIN
    UPDATE board SET change_seq = change_seq + 1;
END;

-- Names people type into sqlite3.
CREATE VIEW dead_letter AS
SELECT key, payload, error, finished_at AS died, task, attempts, rescues, settled + held AS cost, fingerprint
  FROM jobs WHERE status = 'dead';

CREATE VIEW spend AS
SELECT day, sum(settled + held) AS cost, sum(settled) AS settled, sum(held) AS held FROM spend_totals GROUP BY day;
