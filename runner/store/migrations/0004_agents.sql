-- Limits and criteria of one job, and irreversible actions that wait for a person.

ALTER TABLE jobs ADD COLUMN max_tool_calls INTEGER CHECK (max_tool_calls >= 0);
ALTER TABLE jobs ADD COLUMN criteria TEXT CHECK (criteria IS NULL OR json_valid(criteria));  -- a list of sentences; NULL: the task's

-- What models asked for in answers to a job that has a limit on it, as the gate counted.
CREATE TABLE tool_calls (
    job_id INTEGER PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    asked  INTEGER NOT NULL CHECK (asked >= 0)
) STRICT;

CREATE TABLE drafts (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,       -- never reused: the key of the job it becomes is made of it
    job_id       INTEGER NOT NULL,                        -- who drafted it; the draft outlives the job
    job_key      TEXT    NOT NULL,
    task         TEXT    NOT NULL,                        -- of the drafting job
    n            INTEGER NOT NULL,                        -- the attempt
    name         TEXT    NOT NULL,                        -- the step that drafted it: a second attempt finds it again
    performs     TEXT    NOT NULL,                        -- the task that approval enqueues, and how
    payload      TEXT    NOT NULL CHECK (json_valid(payload)),
    priority     INTEGER NOT NULL,
    max_attempts INTEGER NOT NULL,
    summary      TEXT    NOT NULL,                        -- what a person reads first
    at           INTEGER NOT NULL,
    state        TEXT    NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'approved', 'rejected')),
    decided_at   INTEGER,
    by           TEXT,
    reason       TEXT,
    became       TEXT,                                    -- key of the job that performs it
    UNIQUE (job_id, name),
    CHECK ((state = 'waiting') = (decided_at IS NULL)),
    CHECK ((state = 'approved') = (became IS NOT NULL))
) STRICT;

CREATE INDEX drafts_waiting ON drafts (id) WHERE state = 'waiting';
CREATE TRIGGER drafts_added AFTER INSERT ON drafts BEGIN UPDATE board SET change_seq = change_seq + 1; END;
CREATE TRIGGER drafts_moved AFTER UPDATE ON drafts BEGIN UPDATE board SET change_seq = change_seq + 1; END;

-- A draft is decided once, and what was shown to whoever decides is what is performed.
CREATE TRIGGER drafts_fixed BEFORE UPDATE ON drafts
WHEN OLD.state <> 'waiting' OR NEW.performs <> OLD.performs OR NEW.payload <> OLD.payload
  OR NEW.summary <> OLD.summary BEGIN
    SELECT RAISE(ABORT, 'a draft is decided once and keeps its words');
END;
