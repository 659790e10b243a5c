-- People with tokens of their own. A name is unique over all organisations: a token holds nothing else. Removed rows stay, so that a
-- name never becomes another organisation's.
CREATE TABLE operators (
  name          TEXT    PRIMARY KEY,
  organisation  TEXT    NOT NULL,
  token_hash    BLOB    NOT NULL,
  created_at_us INTEGER NOT NULL,
  created_by    TEXT    NOT NULL,
  removed_at_us INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX operators_by_organisation ON operators (organisation, name);
