-- telemetry.db: robots' logs, and what is derived from them in the same transaction.

CREATE TABLE robots (
  id           INTEGER PRIMARY KEY,
  organisation TEXT    NOT NULL,
  target       TEXT    NOT NULL,
  last_seen_us INTEGER,
  refused      INTEGER NOT NULL DEFAULT 0,
  UNIQUE (organisation, target)
) STRICT;

-- Incarnations of robots' logs; ids rise in the order in which they were first seen.
CREATE TABLE epochs (
  id    INTEGER PRIMARY KEY AUTOINCREMENT,
  robot INTEGER NOT NULL REFERENCES robots (id),
  epoch TEXT    NOT NULL,
  UNIQUE (robot, epoch)
) STRICT;

-- class: 0 critical, 1 event, 2 summary, 3 detail. Everything below next_seq is in `entries` or in `losses`.
CREATE TABLE positions (
  robot           INTEGER NOT NULL,
  epoch           INTEGER NOT NULL REFERENCES epochs (id),
  class           INTEGER NOT NULL,
  next_seq        INTEGER NOT NULL,
  robot_first_seq INTEGER NOT NULL,
  PRIMARY KEY (robot, epoch, class)
) STRICT, WITHOUT ROWID;

CREATE TABLE entries (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  organisation TEXT    NOT NULL,
  robot        INTEGER NOT NULL REFERENCES robots (id),
  epoch        INTEGER NOT NULL,
  class        INTEGER NOT NULL,
  seq          INTEGER NOT NULL,
  kind         TEXT    NOT NULL,
  t_us         INTEGER NOT NULL,
  boot_us      INTEGER NOT NULL,
  received_us  INTEGER NOT NULL,
  body         TEXT    NOT NULL
) STRICT;
CREATE UNIQUE INDEX entries_identity ON entries (robot, epoch, class, seq);
CREATE INDEX entries_by_robot ON entries (robot, id);
CREATE INDEX entries_by_organisation ON entries (organisation, id);

CREATE TABLE losses (
  id           INTEGER PRIMARY KEY,
  organisation TEXT    NOT NULL,
  robot        INTEGER NOT NULL REFERENCES robots (id),
  epoch        INTEGER NOT NULL,
  class        INTEGER NOT NULL,
  first_seq    INTEGER NOT NULL,
  last_seq     INTEGER NOT NULL,
  cause        TEXT    NOT NULL,
  bytes        INTEGER NOT NULL,
  first_t_us   INTEGER,
  last_t_us    INTEGER,
  recorded_us  INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX losses_identity ON losses (robot, epoch, class, first_seq);

-- Derived: the newest entry of the kinds that make up a robot's view.
CREATE TABLE newest (
  robot       INTEGER NOT NULL,
  kind        TEXT    NOT NULL,
  epoch       INTEGER NOT NULL,
  class       INTEGER NOT NULL,
  seq         INTEGER NOT NULL,
  t_us        INTEGER NOT NULL,
  received_us INTEGER NOT NULL,
  body        TEXT    NOT NULL,
  PRIMARY KEY (robot, kind)
) STRICT, WITHOUT ROWID;

-- Derived: slots as last attested. `state` is JSON.
CREATE TABLE slots (
  robot    INTEGER NOT NULL,
  slot     TEXT    NOT NULL,
  state    TEXT    NOT NULL,
  since_us INTEGER NOT NULL,
  epoch    INTEGER NOT NULL,
  class    INTEGER NOT NULL,
  seq      INTEGER NOT NULL,
  t_us     INTEGER NOT NULL,
  PRIMARY KEY (robot, slot)
) STRICT, WITHOUT ROWID;

-- Derived: the steps of deployments that robots attested, in order of arrival.
CREATE TABLE attestations (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  organisation TEXT    NOT NULL,
  robot        INTEGER NOT NULL,
  slot         TEXT    NOT NULL,
  server_epoch INTEGER NOT NULL,
  generation   INTEGER NOT NULL,
  digest       TEXT    NOT NULL,
  status       TEXT    NOT NULL,
  reason       TEXT    NOT NULL,
  at_us        INTEGER NOT NULL
) STRICT;
CREATE INDEX attestations_by_slot ON attestations (robot, slot, server_epoch, generation);

-- Derived: series of numbers.
CREATE TABLE samples (
  robot   INTEGER NOT NULL,
  channel TEXT    NOT NULL,
  t_us    INTEGER NOT NULL,
  value   REAL    NOT NULL,
  PRIMARY KEY (robot, channel, t_us)
) STRICT, WITHOUT ROWID;
