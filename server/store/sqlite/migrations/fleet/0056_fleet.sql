-- What the fleet was declared to be, revision by revision. `spec`, `resolved` and `plan` are JSON. `state`: proposed, applied or rejected;
-- the applied one with the highest number stands.
CREATE TABLE fleet_revisions (
  organisation  TEXT    NOT NULL,
  revision      INTEGER NOT NULL,
  based_on      INTEGER NOT NULL,
  state         TEXT    NOT NULL,
  message       TEXT    NOT NULL,
  digest        TEXT    NOT NULL,
  spec          TEXT    NOT NULL,
  resolved      TEXT    NOT NULL,
  plan          TEXT    NOT NULL,
  robots        INTEGER NOT NULL,
  created_at_us INTEGER NOT NULL,
  created_by    TEXT    NOT NULL,
  decided_at_us INTEGER,
  decided_by    TEXT,
  reason        TEXT    NOT NULL DEFAULT '',
  PRIMARY KEY (organisation, revision)
) STRICT;
CREATE INDEX fleet_revisions_applied ON fleet_revisions (organisation, revision) WHERE state = 'applied';

-- Rollouts that a revision started, and for which part of it.
CREATE TABLE fleet_rollouts (
  organisation TEXT    NOT NULL,
  declaration  TEXT    NOT NULL,
  revision     INTEGER NOT NULL,
  rollout      INTEGER NOT NULL,
  PRIMARY KEY (organisation, declaration, revision)
) STRICT, WITHOUT ROWID;

-- A robot that was enrolled or labelled and not yet given what is declared for it.
ALTER TABLE targets ADD COLUMN fleet_due INTEGER NOT NULL DEFAULT 1;
CREATE INDEX targets_due ON targets (organisation, name) WHERE fleet_due = 1 AND revoked_at_us IS NULL;
