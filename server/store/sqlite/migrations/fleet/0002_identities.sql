-- fleet.db: certificates of robots, and the one-time tokens that get them.

-- Revoked rows stay until they would have expired anyway; expired ones are history.
CREATE TABLE certificates (
  fingerprint   BLOB    PRIMARY KEY,
  target        TEXT    NOT NULL REFERENCES targets (name),
  serial        TEXT    NOT NULL,
  issued_at_us  INTEGER NOT NULL,
  not_after_us  INTEGER NOT NULL,
  revoked_at_us INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX certificates_by_target ON certificates (target, issued_at_us);
CREATE INDEX revoked_certificates ON certificates (not_after_us) WHERE revoked_at_us IS NOT NULL;

-- A token that was used is deleted in the transaction that puts its certificate on record.
CREATE TABLE bootstraps (
  digest        BLOB    PRIMARY KEY,
  target        TEXT    NOT NULL REFERENCES targets (name),
  expires_at_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
