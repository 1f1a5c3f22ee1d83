-- What an upstream asked us to wait for, and what the breakers count over time.

CREATE TABLE rate_pauses (
    name   TEXT PRIMARY KEY,                              -- of an upstream, or upstream/model
    until  INTEGER NOT NULL,
    reason TEXT    NOT NULL,
    at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER rate_pauses_added AFTER INSERT ON rate_pauses BEGIN UPDATE board SET change_seq = change_seq + 1; END;
CREATE TRIGGER rate_pauses_moved AFTER UPDATE ON rate_pauses BEGIN UPDATE board SET change_seq = change_seq + 1; END;
