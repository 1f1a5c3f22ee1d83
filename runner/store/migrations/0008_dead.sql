-- Dead letters by their error, and what a replay has to keep so that it can be undone.

-- One row an error: how many dead letters share it. Kept by triggers, for a screen asks with every look.
CREATE TABLE dead_groups (
    fingerprint TEXT PRIMARY KEY,                         -- empty: dead without an error
    jobs        INTEGER NOT NULL,
    last_at     INTEGER NOT NULL                          -- when the newest of them died
) STRICT, WITHOUT ROWID;

CREATE INDEX dead_groups_last ON dead_groups (last_at, fingerprint);
CREATE INDEX jobs_dead_error ON jobs (fingerprint, finished_at, id, task) WHERE status = 'dead';

INSERT INTO dead_groups (fingerprint, jobs, last_at)
SELECT coalesce(fingerprint, ''), count(*), max(finished_at) FROM jobs WHERE status = 'dead' GROUP BY 1;

CREATE TRIGGER dead_added AFTER INSERT ON jobs WHEN NEW.status = 'dead' BEGIN
    INSERT INTO dead_groups (fingerprint, jobs, last_at) VALUES (coalesce(NEW.fingerprint, ''), 1, NEW.finished_at)
    ON CONFLICT DO UPDATE SET jobs = jobs + 1, last_at = max(last_at, excluded.last_at);
END;

CREATE TRIGGER dead_moved AFTER UPDATE OF status, fingerprint, finished_at ON jobs
WHEN OLD.status = 'dead' OR NEW.status = 'dead' BEGIN
    UPDATE dead_groups
       SET jobs = jobs - 1,
           last_at = coalesce((SELECT max(finished_at) FROM jobs
                                WHERE status = 'dead' AND fingerprint IS OLD.fingerprint), 0)
     WHERE OLD.status = 'dead' AND fingerprint = coalesce(OLD.fingerprint, '');
    INSERT INTO dead_groups (fingerprint, jobs, last_at)
    SELECT coalesce(NEW.fingerprint, ''), 1, NEW.finished_at WHERE NEW.status = 'dead'
    ON CONFLICT DO UPDATE SET jobs = jobs + 1, last_at = max(last_at, excluded.last_at);
    DELETE FROM dead_groups WHERE fingerprint = coalesce(OLD.fingerprint, '') AND jobs = 0;
END;

CREATE TRIGGER dead_removed AFTER DELETE ON jobs WHEN OLD.status = 'dead' BEGIN
    UPDATE dead_groups
       SET jobs = jobs - 1,
           last_at = coalesce((SELECT max(finished_at) FROM jobs
                                WHERE status = 'dead' AND fingerprint IS OLD.fingerprint), 0)
     WHERE fingerprint = coalesce(OLD.fingerprint, '');
    DELETE FROM dead_groups WHERE fingerprint = coalesce(OLD.fingerprint, '') AND jobs = 0;
END;

-- What a job was before its last replay. It can be put back there until it is claimed.
CREATE TABLE replays (
    job_id     INTEGER PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    token      TEXT    NOT NULL,                          -- of the act: an undo means this one and no later one
    not_before INTEGER NOT NULL,
    attempts   INTEGER NOT NULL,
    rescues    INTEGER NOT NULL,
    cancel     INTEGER NOT NULL,
    starts     INTEGER NOT NULL,                          -- more of them since: it was claimed
    died_at    INTEGER NOT NULL
) STRICT;
