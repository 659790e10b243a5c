-- Of a robot that is due: parts of the declaration it still waits for, JSON; NULL: none of it was given to it yet.
ALTER TABLE targets ADD COLUMN fleet_waits TEXT;
