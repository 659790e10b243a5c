-- What is kept how long: numbers by the minute and hour, and what was removed or folded.

-- resolution: seconds of a bucket, 60 or 3600. t_us: its beginning. min, max and last are NULL of a single sample, whose value
-- is the sum: then a row is little larger than the sample was. last_us: when the newest came, from the beginning.
-- Every sample is in `samples` or in one row here, never in both.
CREATE TABLE rollups (
  robot      INTEGER NOT NULL,
  channel    TEXT    NOT NULL,
  resolution INTEGER NOT NULL,
  t_us       INTEGER NOT NULL,
  count      INTEGER NOT NULL,
  sum        REAL    NOT NULL,
  min        REAL,
  max        REAL,
  last       REAL,
  last_us    INTEGER NOT NULL,
  PRIMARY KEY (robot, channel, resolution, t_us)
) STRICT, WITHOUT ROWID;

-- what: entries, raw, minute or hour. epoch is 0, class -1 and kind empty of numbers.
CREATE TABLE removals (
  robot      INTEGER NOT NULL,
  epoch      INTEGER NOT NULL,
  what       TEXT    NOT NULL,
  class      INTEGER NOT NULL,
  kind       TEXT    NOT NULL,
  cause      TEXT    NOT NULL,
  count      INTEGER NOT NULL,
  bytes      INTEGER NOT NULL,
  first_t_us INTEGER NOT NULL,
  last_t_us  INTEGER NOT NULL,
  at_us      INTEGER NOT NULL,
  PRIMARY KEY (robot, epoch, what, class, kind, cause)
) STRICT, WITHOUT ROWID;

-- The oldest of a class and kind, by their arrival.
CREATE INDEX entries_by_age ON entries (class, kind, received_us);
