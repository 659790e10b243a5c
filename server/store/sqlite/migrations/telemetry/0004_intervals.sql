-- Derived: what robots said they ran, from when to when, by their clocks. Open ones have no to_us; when they were last said is in
-- `slots`. Never removed: this is the lineage.
CREATE TABLE intervals (
  id           INTEGER PRIMARY KEY,
  organisation TEXT    NOT NULL,
  robot        INTEGER NOT NULL,
  slot         TEXT    NOT NULL,
  model        TEXT    NOT NULL,
  version      TEXT    NOT NULL,
  digest       TEXT    NOT NULL,
  from_us      INTEGER NOT NULL,
  last_us      INTEGER,
  to_us        INTEGER
) STRICT;
CREATE UNIQUE INDEX intervals_open ON intervals (robot, slot) WHERE to_us IS NULL;
CREATE INDEX intervals_by_robot ON intervals (robot, from_us);
CREATE INDEX intervals_by_digest ON intervals (organisation, digest, robot);

-- What was known before there were intervals.
INSERT INTO intervals (organisation, robot, slot, model, version, digest, from_us)
SELECT r.organisation, s.robot, s.slot, s.state ->> '$.model', s.state ->> '$.version', s.state ->> '$.digest', s.since_us
FROM slots s JOIN robots r ON r.id = s.robot WHERE s.state ->> '$.digest' <> '';
