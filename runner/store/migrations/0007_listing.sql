-- Lists of one task and of what ended otherwise than done. A job keeps its task and nearly every job ends done, so
-- neither a claim nor a finish writes a page more for them.

CREATE INDEX jobs_task ON jobs (task);
CREATE INDEX jobs_ended ON jobs (status) WHERE status = 'halted' OR status = 'cancelled' OR status = 'dead';
