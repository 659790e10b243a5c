-- What happened to runs and versions, in the order in which it was committed, for those who follow lineage. Written by the file itself,
-- so that no way of changing a run or registering a version can forget it.
CREATE TABLE lineage_feed (
  seq          INTEGER PRIMARY KEY AUTOINCREMENT,
  organisation TEXT    NOT NULL,
  run          INTEGER,
  status       TEXT,
  began        INTEGER,
  model        INTEGER,
  number       INTEGER,
  at_us        INTEGER NOT NULL
) STRICT;
CREATE INDEX lineage_feed_by_organisation ON lineage_feed (organisation, seq);

-- What happened before, by its time.
INSERT INTO lineage_feed (organisation, run, status, began, model, number, at_us)
SELECT organisation, run, status, began, model, number, at_us FROM (
  SELECT organisation, run, 'RUNNING' AS status, 1 AS began, NULL AS model, NULL AS number, start_ms * 1000 AS at_us FROM runs
  UNION ALL SELECT organisation, run, status, 0, NULL, NULL, COALESCE(end_ms, start_ms) * 1000 FROM runs
    WHERE status IN ('FINISHED', 'FAILED', 'KILLED')
  UNION ALL SELECT organisation, NULL, NULL, NULL, model, number, created_at_us FROM model_versions
) ORDER BY at_us, began DESC;

CREATE TRIGGER lineage_run_began AFTER INSERT ON runs BEGIN
  INSERT INTO lineage_feed (organisation, run, status, began, at_us) VALUES (NEW.organisation, NEW.run, NEW.status, 1, NEW.start_ms * 1000);
END;
CREATE TRIGGER lineage_run_turned AFTER UPDATE OF status ON runs WHEN NEW.status <> OLD.status BEGIN
  INSERT INTO lineage_feed (organisation, run, status, began, at_us)
    VALUES (NEW.organisation, NEW.run, NEW.status, 0, COALESCE(NEW.end_ms, NEW.start_ms) * 1000);
END;
CREATE TRIGGER lineage_registered AFTER INSERT ON model_versions BEGIN
  INSERT INTO lineage_feed (organisation, model, number, at_us) VALUES (NEW.organisation, NEW.model, NEW.number, NEW.created_at_us);
END;

-- How far each endpoint was told; `url` without what is secret.
CREATE TABLE lineage_told (
  url    TEXT PRIMARY KEY,
  cursor TEXT NOT NULL
) STRICT, WITHOUT ROWID;
