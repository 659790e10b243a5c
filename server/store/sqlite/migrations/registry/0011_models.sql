-- Models and versions get a number of their own, so that a model can be renamed, and what people may change about them: tags,
-- aliases, stages, descriptions. What was deleted stays as a row, without its bytes: a robot may have run it.
ALTER TABLE model_versions RENAME TO old_model_versions;
ALTER TABLE models RENAME TO old_models;
DROP INDEX model_versions_by_digest;

-- `tags` is JSON, key to value.
CREATE TABLE models (
  id            INTEGER PRIMARY KEY,
  organisation  TEXT    NOT NULL,
  name          TEXT    NOT NULL,
  description   TEXT    NOT NULL,
  tags          TEXT    NOT NULL DEFAULT '{}',
  created_at_us INTEGER NOT NULL,
  created_by    TEXT    NOT NULL,
  updated_at_us INTEGER NOT NULL,
  deleted_at_us INTEGER
) STRICT;
CREATE UNIQUE INDEX models_by_name ON models (organisation, name) WHERE deleted_at_us IS NULL;

-- What was registered never changes: digest to model_id. `files`, `schema`, `report` and `tags` are JSON.
-- `folder` is where in artifact_paths `source` is. A version without a digest
-- is one that no robot can be told to run; `note` says why, or what of its checks was not made.
CREATE TABLE model_versions (
  model         INTEGER NOT NULL REFERENCES models (id),
  number        INTEGER NOT NULL,
  organisation  TEXT    NOT NULL,
  digest        TEXT,
  model_digest  TEXT,
  files         TEXT,
  schema        TEXT,
  labels        TEXT,
  manifest      TEXT,
  report        TEXT,
  note          TEXT    NOT NULL DEFAULT '',
  source        TEXT    NOT NULL DEFAULT '',
  folder        TEXT,
  run_id        TEXT,
  run_link      TEXT,
  model_id      TEXT,
  description   TEXT    NOT NULL,
  stage         TEXT    NOT NULL DEFAULT 'None',
  tags          TEXT    NOT NULL DEFAULT '{}',
  created_at_us INTEGER NOT NULL,
  created_by    TEXT    NOT NULL,
  updated_at_us INTEGER NOT NULL,
  deleted_at_us INTEGER,
  PRIMARY KEY (model, number)
) STRICT;
CREATE INDEX model_versions_by_digest ON model_versions (organisation, digest);
CREATE INDEX model_versions_by_run ON model_versions (organisation, run_id) WHERE run_id IS NOT NULL;

CREATE TABLE model_aliases (
  model  INTEGER NOT NULL REFERENCES models (id),
  alias  TEXT    NOT NULL,
  number INTEGER NOT NULL,
  PRIMARY KEY (model, alias)
) STRICT, WITHOUT ROWID;

-- Which bytes versions refer to: gone with the version.
CREATE TABLE model_version_files (
  model        INTEGER NOT NULL,
  number       INTEGER NOT NULL,
  sha256       TEXT    NOT NULL,
  organisation TEXT    NOT NULL,
  size_bytes   INTEGER NOT NULL,
  PRIMARY KEY (model, number, sha256)
) STRICT, WITHOUT ROWID;
CREATE INDEX model_version_files_by_content ON model_version_files (sha256, organisation);

INSERT INTO models (organisation, name, description, created_at_us, created_by, updated_at_us)
  SELECT organisation, name, description, created_at_us, '', created_at_us FROM old_models ORDER BY created_at_us, name;
INSERT INTO model_versions (model, number, organisation, digest, model_digest, files, schema, labels, manifest, description, created_at_us,
    created_by, updated_at_us)
  SELECT models.id, number, old.organisation, digest, model_digest, files, schema, labels, manifest, old.description, old.created_at_us,
    old.created_by, old.created_at_us
  FROM old_model_versions old JOIN models ON models.organisation = old.organisation AND models.name = old.model;
INSERT OR IGNORE INTO model_version_files (model, number, sha256, organisation, size_bytes)
  SELECT model, number, file.value ->> 'sha256', organisation, file.value ->> 'size_bytes' FROM model_versions, json_each(files) file;
DROP TABLE old_model_versions;
DROP TABLE old_models;
DROP TABLE artifact_references;
