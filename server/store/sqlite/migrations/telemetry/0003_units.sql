-- Channels that software on the robot named itself, each with its unit as last told; empty when it has none.
CREATE TABLE units (
  robot   INTEGER NOT NULL,
  channel TEXT    NOT NULL,
  unit    TEXT    NOT NULL,
  PRIMARY KEY (robot, channel)
) STRICT, WITHOUT ROWID;
