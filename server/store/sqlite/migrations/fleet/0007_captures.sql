-- Recordings that robots offered. `info` is JSON of what the robot said; a row stays when its file is gone, with when and why.
CREATE TABLE captures (
  number       INTEGER PRIMARY KEY AUTOINCREMENT,
  id           TEXT    NOT NULL,
  organisation TEXT    NOT NULL,
  target       TEXT    NOT NULL REFERENCES targets (name),
  info         TEXT    NOT NULL,
  size_bytes   INTEGER NOT NULL,
  touched_us   INTEGER NOT NULL,
  stored_us    INTEGER,
  gone_us      INTEGER,
  gone_why     TEXT,
  UNIQUE (organisation, target, id)
) STRICT;
CREATE INDEX captures_by_robot ON captures (organisation, target, number);
CREATE INDEX captures_here ON captures (number) WHERE gone_us IS NULL;
