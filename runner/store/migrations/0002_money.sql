-- A person may raise the cap of a day until its midnight, and alerts wait here until somebody was told.

CREATE TABLE raises (
    id     INTEGER PRIMARY KEY,
    day    TEXT    NOT NULL,                              -- of the cap's zone; the raise ends with it
    cap    INTEGER NOT NULL CHECK (cap >= 0),             -- the day's cap from then on, in micro-dollars
    reason TEXT    NOT NULL,
    by     TEXT    NOT NULL,
    at     INTEGER NOT NULL
) STRICT;

CREATE INDEX raises_day ON raises (day);
CREATE TRIGGER raises_added AFTER INSERT ON raises BEGIN UPDATE board SET change_seq = change_seq + 1; END;

-- The outbox. One row an edge: the key says which, so that it is told once.
CREATE TABLE alerts (
    id           INTEGER PRIMARY KEY,
    at           INTEGER NOT NULL,
    key          TEXT    NOT NULL UNIQUE,                 -- cap:day:2027-01-31:80, breaker:NAME:42, ...
    level        TEXT    NOT NULL CHECK (level IN ('info', 'warn', 'error')),
    text         TEXT    NOT NULL,
    lapses_at    INTEGER,                                 -- when it ends by itself; NULL: somebody closes it
    delivered_at INTEGER,                                 -- NULL: nobody was told yet
    closed_at    INTEGER                                  -- NULL: what it tells of still holds
) STRICT;

CREATE INDEX alerts_waiting ON alerts (id) WHERE delivered_at IS NULL;
CREATE INDEX alerts_open ON alerts (id) WHERE closed_at IS NULL;
CREATE TRIGGER alerts_added AFTER INSERT ON alerts BEGIN UPDATE board SET change_seq = change_seq + 1; END;
CREATE TRIGGER alerts_moved AFTER UPDATE ON alerts BEGIN UPDATE board SET change_seq = change_seq + 1; END;

-- A hold is an upper bound: what is learnt during the call may lower it and nothing raises it.
CREATE TRIGGER charges_never_grow BEFORE UPDATE ON charges
WHEN NEW.hold > OLD.hold OR NEW.held_at <> OLD.held_at OR NEW.zone <> OLD.zone BEGIN
    SELECT RAISE(ABORT, 'a hold never grows and keeps its time');
END;
