-- What a job of a schedule begins with, so that a person can fire it while no runner is there to ask.

ALTER TABLE schedules ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
ALTER TABLE schedules ADD COLUMN max_attempts INTEGER NOT NULL DEFAULT 4;
