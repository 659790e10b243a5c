-- Momentary acts asked of robots. `action` and `result` are JSON; `outcome` is JSON of a word, NULL until the robot has said it.
CREATE TABLE commands (
  number       INTEGER PRIMARY KEY AUTOINCREMENT,
  id           TEXT    NOT NULL UNIQUE,
  organisation TEXT    NOT NULL,
  target       TEXT    NOT NULL REFERENCES targets (name),
  action       TEXT    NOT NULL,
  issued_us    INTEGER NOT NULL,
  expires_us   INTEGER NOT NULL,
  created_by   TEXT    NOT NULL,
  outcome      TEXT,
  message      TEXT    NOT NULL DEFAULT '',
  result       TEXT    NOT NULL DEFAULT 'null',
  ended_us     INTEGER
) STRICT;
CREATE INDEX commands_by_robot ON commands (organisation, target, number);
CREATE INDEX commands_open ON commands (organisation, target, number) WHERE outcome IS NULL;
