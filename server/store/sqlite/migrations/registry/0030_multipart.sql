-- Files that come in parts; the bytes of parts are beside the artifacts, under the upload's id. A completed one stays for a while,
-- so that whoever did not hear of it can ask again.
CREATE TABLE multipart_uploads (
  id           TEXT    PRIMARY KEY,
  organisation TEXT    NOT NULL,
  path         TEXT    NOT NULL,
  parts        INTEGER NOT NULL,
  completed    INTEGER NOT NULL,
  touched_us   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX multipart_uploads_by_age ON multipart_uploads (touched_us);

CREATE TABLE multipart_parts (
  upload     TEXT    NOT NULL REFERENCES multipart_uploads (id),
  number     INTEGER NOT NULL,
  sha256     TEXT    NOT NULL,
  size_bytes INTEGER NOT NULL,
  PRIMARY KEY (upload, number)
) STRICT, WITHOUT ROWID;
