-- registry.db: what people register. Rarely written, read by deployments.

CREATE TABLE models (
  organisation  TEXT    NOT NULL,
  name          TEXT    NOT NULL,
  description   TEXT    NOT NULL,
  created_at_us INTEGER NOT NULL,
  PRIMARY KEY (organisation, name)
) STRICT;

-- Immutable: rows are inserted, never updated. `files` and `schema` are JSON.
CREATE TABLE model_versions (
  organisation  TEXT    NOT NULL,
  model         TEXT    NOT NULL,
  number        INTEGER NOT NULL,
  digest        TEXT    NOT NULL,
  model_digest  TEXT    NOT NULL,
  files         TEXT    NOT NULL,
  schema        TEXT    NOT NULL,
  labels        TEXT    NOT NULL,
  manifest      TEXT,
  description   TEXT    NOT NULL,
  created_at_us INTEGER NOT NULL,
  created_by    TEXT    NOT NULL,
  PRIMARY KEY (organisation, model, number),
  FOREIGN KEY (organisation, model) REFERENCES models (organisation, name)
) STRICT;
CREATE UNIQUE INDEX model_versions_by_digest ON model_versions (organisation, model, digest);

-- Which artifacts an organisation's versions refer to.
CREATE TABLE artifact_references (
  organisation TEXT    NOT NULL,
  sha256       TEXT    NOT NULL,
  size_bytes   INTEGER NOT NULL,
  PRIMARY KEY (organisation, sha256)
) STRICT, WITHOUT ROWID;

-- Only grows.
CREATE TABLE audit (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  organisation TEXT    NOT NULL,
  at_us        INTEGER NOT NULL,
  who          TEXT    NOT NULL,
  action       TEXT    NOT NULL,
  resource     TEXT    NOT NULL,
  outcome      TEXT    NOT NULL,
  detail       TEXT    NOT NULL
) STRICT;
CREATE INDEX audit_by_organisation ON audit (organisation, id);
