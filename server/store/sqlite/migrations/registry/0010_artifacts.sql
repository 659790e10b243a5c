-- Files kept under paths; their bytes are elsewhere, under their SHA-256 (64 hex digits). Folders are what paths imply.
CREATE TABLE artifact_paths (
  organisation  TEXT    NOT NULL,
  path          TEXT    NOT NULL,
  sha256        TEXT    NOT NULL,
  size_bytes    INTEGER NOT NULL,
  created_at_us INTEGER NOT NULL,
  PRIMARY KEY (organisation, path)
) STRICT, WITHOUT ROWID;
CREATE INDEX artifact_paths_by_content ON artifact_paths (sha256);
CREATE INDEX artifact_references_by_content ON artifact_references (sha256);

-- Bytes that may have nobody who refers to them.
CREATE TABLE doubted_artifacts (
  sha256   TEXT    PRIMARY KEY,
  since_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX doubted_artifacts_by_age ON doubted_artifacts (since_us);
