-- What an upstream asked us to wait for, what we hold its rate to, and what the breakers count over time.

CREATE TABLE rate_pauses (
    name   TEXT PRIMARY KEY,                              -- upstream/model, or an upstream alone
    until  INTEGER NOT NULL,
    reason TEXT    NOT NULL,
    at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER rate_pauses_added AFTER INSERT ON rate_pauses BEGIN UPDATE board SET change_seq = change_seq + 1; END;
CREATE TRIGGER rate_pauses_moved AFTER UPDATE ON rate_pauses BEGIN UPDATE board SET change_seq = change_seq + 1; END;
CREATE TRIGGER rate_pauses_gone AFTER DELETE ON rate_pauses BEGIN UPDATE board SET change_seq = change_seq + 1; END;

-- The calls of the last minute to an upstream whose rate has a limit; older ones are deleted by the next call.
CREATE TABLE rate_uses (
    charge   INTEGER PRIMARY KEY,
    upstream TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    tokens   INTEGER NOT NULL CHECK (tokens >= 0)         -- a bound; the true number once the call told it
) STRICT;

CREATE INDEX rate_uses_time ON rate_uses (upstream, at, tokens);

-- Whose turn it is when such a limit has room again.
CREATE TABLE rate_turns (
    job_id   INTEGER PRIMARY KEY,
    upstream TEXT    NOT NULL,
    turn     INTEGER NOT NULL
) STRICT;

CREATE INDEX rate_turns_order ON rate_turns (upstream, turn);

-- What became of the calls of a breaker, second by second; seconds out of every window are deleted by the next call.
CREATE TABLE tallies (
    name     TEXT    NOT NULL,                            -- upstream/model
    second   INTEGER NOT NULL,                            -- since 1970
    calls    INTEGER NOT NULL DEFAULT 0,                  -- that succeeded or failed
    failures INTEGER NOT NULL DEFAULT 0,
    spent    INTEGER NOT NULL DEFAULT 0,                  -- in micro-dollars, as settled
    PRIMARY KEY (name, second)
) STRICT, WITHOUT ROWID;

-- How often a job was answered the same request; upkeep deletes what is over.
CREATE TABLE repeats (
    job_id  INTEGER NOT NULL,
    request TEXT    NOT NULL,                             -- its hash
    answers INTEGER NOT NULL,
    since   INTEGER NOT NULL,                             -- when the count began
    PRIMARY KEY (job_id, request)
) STRICT, WITHOUT ROWID;
