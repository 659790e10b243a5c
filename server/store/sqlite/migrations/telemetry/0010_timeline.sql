-- A robot's facts by time. Entries of the classes that make timelines only: the others are too many.
CREATE INDEX entries_timeline ON entries (robot, t_us, id) WHERE class < 2;
CREATE INDEX intervals_ended ON intervals (robot, to_us) WHERE to_us IS NOT NULL;

-- When an incarnation of a log was first heard of, by our clock; NULL of those known before that was noted.
ALTER TABLE epochs ADD COLUMN seen_us INTEGER;
