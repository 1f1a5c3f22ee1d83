-- What every job passes does less.

-- The two ways nearly every job goes, each with its own short step; all others count as before.
DROP TRIGGER jobs_moved;
CREATE TRIGGER jobs_claimed AFTER UPDATE OF status ON jobs WHEN OLD.status = 'pending' AND NEW.status = 'running' BEGIN
    UPDATE board SET change_seq = change_seq + 1, pending = pending - 1, running = running + 1;
END;
CREATE TRIGGER jobs_done AFTER UPDATE OF status ON jobs WHEN OLD.status = 'running' AND NEW.status = 'done' BEGIN
    UPDATE board SET change_seq = change_seq + 1, running = running - 1, done = done + 1;
END;
CREATE TRIGGER jobs_moved AFTER UPDATE OF status ON jobs
WHEN OLD.status <> NEW.status AND (OLD.status || NEW.status) NOT IN ('pendingrunning', 'runningdone') BEGIN
    UPDATE board SET change_seq = change_seq + 1,
        pending = pending + (NEW.status = 'pending') - (OLD.status = 'pending'),
        running = running + (NEW.status = 'running') - (OLD.status = 'running'),
        done = done + (NEW.status = 'done') - (OLD.status = 'done'),
        halted = halted + (NEW.status = 'halted') - (OLD.status = 'halted'),
        cancelled = cancelled + (NEW.status = 'cancelled') - (OLD.status = 'cancelled'),
        dead = dead + (NEW.status = 'dead') - (OLD.status = 'dead');
END;

-- This event is written beside a job that moves, which is told already.
DROP TRIGGER events_added;
CREATE TRIGGER events_added AFTER INSERT ON events WHEN NEW.event <> 'job.done' BEGIN
    UPDATE board SET change_seq = change_seq + 1;
END;

-- Whether a job runs that a runner was lost under; every claim asks, and nearly always there is none.
CREATE INDEX jobs_suspect ON jobs (id) WHERE status = 'running' AND rescues > 0;
