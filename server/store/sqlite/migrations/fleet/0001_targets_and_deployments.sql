-- fleet.db: which robots there are and what they shall be.

-- One row.
CREATE TABLE server (
  one              INTEGER PRIMARY KEY CHECK (one = 1),
  server_epoch     INTEGER NOT NULL,
  created_at_us    INTEGER NOT NULL,
  admin_token_hash BLOB
) STRICT;

-- A name is unique over all organisations: MQTT topics hold nothing else. Revoked rows stay, because a generation of
-- desired state never comes twice.
CREATE TABLE targets (
  name          TEXT    PRIMARY KEY,
  organisation  TEXT    NOT NULL,
  labels        TEXT    NOT NULL,
  token_hash    BLOB    NOT NULL,
  created_at_us INTEGER NOT NULL,
  revoked_at_us INTEGER,
  server_epoch  INTEGER NOT NULL DEFAULT 0,
  generation    INTEGER NOT NULL DEFAULT 0,
  slots         TEXT    NOT NULL DEFAULT '{}'
) STRICT, WITHOUT ROWID;
CREATE INDEX targets_by_organisation ON targets (organisation, name);

CREATE TABLE deployments (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  organisation  TEXT    NOT NULL,
  model         TEXT    NOT NULL,
  version       TEXT    NOT NULL,
  digest        TEXT    NOT NULL,
  slot          TEXT    NOT NULL,
  created_at_us INTEGER NOT NULL,
  created_by    TEXT    NOT NULL
) STRICT;
CREATE INDEX deployments_by_organisation ON deployments (organisation, id);

-- What a deployment asked of one robot, and which desired state of it asked something else of the slot.
CREATE TABLE deployment_targets (
  deployment              INTEGER NOT NULL REFERENCES deployments (id),
  organisation            TEXT    NOT NULL,
  target                  TEXT    NOT NULL REFERENCES targets (name),
  slot                    TEXT    NOT NULL,
  server_epoch            INTEGER NOT NULL,
  generation              INTEGER NOT NULL,
  superseded_server_epoch INTEGER,
  superseded_generation   INTEGER,
  PRIMARY KEY (deployment, target)
) STRICT, WITHOUT ROWID;
CREATE INDEX standing_deployments ON deployment_targets (target, slot) WHERE superseded_generation IS NULL;
