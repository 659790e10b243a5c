-- Experiments, runs and what they log. Times are milliseconds since the Unix epoch, as clients give them.

CREATE TABLE experiments (
  organisation      TEXT    NOT NULL,
  number            INTEGER NOT NULL,
  name              TEXT    NOT NULL,
  artifact_location TEXT    NOT NULL,
  lifecycle         TEXT    NOT NULL,
  created_ms        INTEGER NOT NULL,
  updated_ms        INTEGER NOT NULL,
  PRIMARY KEY (organisation, number)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX experiments_by_name ON experiments (organisation, name);

CREATE TABLE experiment_tags (
  organisation TEXT    NOT NULL,
  experiment   INTEGER NOT NULL,
  key          TEXT    NOT NULL,
  value        TEXT    NOT NULL,
  PRIMARY KEY (organisation, experiment, key)
) STRICT, WITHOUT ROWID;

-- `id` is what people see; `run` is what rows refer to. Never removed, only marked.
CREATE TABLE runs (
  run          INTEGER PRIMARY KEY,
  organisation TEXT    NOT NULL,
  id           TEXT    NOT NULL,
  experiment   INTEGER NOT NULL,
  name         TEXT    NOT NULL,
  user         TEXT    NOT NULL,
  status       TEXT    NOT NULL,
  start_ms     INTEGER NOT NULL,
  end_ms       INTEGER,
  lifecycle    TEXT    NOT NULL,
  artifact_uri TEXT    NOT NULL,
  FOREIGN KEY (organisation, experiment) REFERENCES experiments (organisation, number)
) STRICT;
CREATE UNIQUE INDEX runs_by_id ON runs (organisation, id);
CREATE INDEX runs_by_experiment ON runs (organisation, experiment, lifecycle, start_ms DESC, id);

CREATE TABLE run_params (
  run   INTEGER NOT NULL,
  key   TEXT    NOT NULL,
  value TEXT    NOT NULL,
  PRIMARY KEY (run, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE run_tags (
  run   INTEGER NOT NULL,
  key   TEXT    NOT NULL,
  value TEXT    NOT NULL,
  PRIMARY KEY (run, key)
) STRICT, WITHOUT ROWID;

-- Every value ever logged, once: the key is the whole row, so that a retry finds itself there without a search. In the order
-- histories are read. NaN is 0 with `is_nan`, since SQLite has none. No foreign key: it would be looked up for every row.
CREATE TABLE metrics (
  run          INTEGER NOT NULL,
  key          TEXT    NOT NULL,
  timestamp_ms INTEGER NOT NULL,
  step         INTEGER NOT NULL,
  value        REAL    NOT NULL,
  is_nan       INTEGER NOT NULL,
  PRIMARY KEY (run, key, timestamp_ms, step, value, is_nan)
) STRICT, WITHOUT ROWID;

-- The value of the greatest (step, timestamp, value) of each metric: what searches compare and sort.
CREATE TABLE latest_metrics (
  run          INTEGER NOT NULL,
  key          TEXT    NOT NULL,
  timestamp_ms INTEGER NOT NULL,
  step         INTEGER NOT NULL,
  value        REAL    NOT NULL,
  is_nan       INTEGER NOT NULL,
  PRIMARY KEY (run, key)
) STRICT, WITHOUT ROWID;

-- A dataset is what a run says of it: its first description stands.
CREATE TABLE datasets (
  dataset      INTEGER PRIMARY KEY,
  organisation TEXT    NOT NULL,
  experiment   INTEGER NOT NULL,
  name         TEXT    NOT NULL,
  digest       TEXT    NOT NULL,
  source_type  TEXT    NOT NULL,
  source       TEXT    NOT NULL,
  schema       TEXT,
  profile      TEXT
) STRICT;
CREATE UNIQUE INDEX datasets_by_name ON datasets (organisation, experiment, name, digest);
CREATE INDEX datasets_by_digest ON datasets (organisation, digest);

CREATE TABLE run_datasets (
  run     INTEGER NOT NULL,
  dataset INTEGER NOT NULL REFERENCES datasets (dataset),
  place   INTEGER NOT NULL,
  PRIMARY KEY (run, dataset)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_datasets_by_dataset ON run_datasets (dataset, run);

CREATE TABLE run_dataset_tags (
  run     INTEGER NOT NULL,
  dataset INTEGER NOT NULL,
  key     TEXT    NOT NULL,
  value   TEXT    NOT NULL,
  PRIMARY KEY (run, dataset, key)
) STRICT, WITHOUT ROWID;

-- Logged models that went into a run, and that came out of it at a step.
CREATE TABLE run_models (
  run       INTEGER NOT NULL,
  direction TEXT    NOT NULL,
  model     TEXT    NOT NULL,
  step      INTEGER NOT NULL,
  PRIMARY KEY (run, direction, model)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_models_by_model ON run_models (model, direction, run);

CREATE TABLE logged_models (
  model          INTEGER PRIMARY KEY,
  organisation   TEXT    NOT NULL,
  id             TEXT    NOT NULL,
  experiment     INTEGER NOT NULL,
  name           TEXT    NOT NULL,
  artifact_uri   TEXT    NOT NULL,
  model_type     TEXT    NOT NULL,
  source_run_id  TEXT    NOT NULL,
  status         TEXT    NOT NULL,
  status_message TEXT    NOT NULL,
  lifecycle      TEXT    NOT NULL,
  created_ms     INTEGER NOT NULL,
  updated_ms     INTEGER NOT NULL,
  FOREIGN KEY (organisation, experiment) REFERENCES experiments (organisation, number)
) STRICT;
CREATE UNIQUE INDEX logged_models_by_id ON logged_models (organisation, id);
CREATE INDEX logged_models_by_experiment ON logged_models (organisation, experiment, lifecycle, created_ms DESC, id);
CREATE INDEX logged_models_by_run ON logged_models (organisation, source_run_id);

CREATE TABLE logged_model_params (
  model INTEGER NOT NULL REFERENCES logged_models (model),
  key   TEXT    NOT NULL,
  value TEXT    NOT NULL,
  PRIMARY KEY (model, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE logged_model_tags (
  model INTEGER NOT NULL REFERENCES logged_models (model),
  key   TEXT    NOT NULL,
  value TEXT    NOT NULL,
  PRIMARY KEY (model, key)
) STRICT, WITHOUT ROWID;

-- What runs measured of a model, and on which dataset.
CREATE TABLE logged_model_metrics (
  model          INTEGER NOT NULL REFERENCES logged_models (model),
  key            TEXT    NOT NULL,
  timestamp_ms   INTEGER NOT NULL,
  step           INTEGER NOT NULL,
  run            INTEGER NOT NULL,
  dataset_name   TEXT    NOT NULL,
  dataset_digest TEXT    NOT NULL,
  value          REAL    NOT NULL,
  is_nan         INTEGER NOT NULL,
  PRIMARY KEY (model, key, timestamp_ms, step, run, dataset_name, dataset_digest)
) STRICT, WITHOUT ROWID;
