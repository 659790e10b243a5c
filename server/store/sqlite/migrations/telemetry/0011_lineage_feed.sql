-- What robots said of what they run, in the order in which it was committed: that an interval began, or ended.
CREATE TABLE lineage_feed (
  seq          INTEGER PRIMARY KEY AUTOINCREMENT,
  organisation TEXT    NOT NULL,
  interval     INTEGER NOT NULL,
  ended        INTEGER NOT NULL
) STRICT;
CREATE INDEX lineage_feed_by_organisation ON lineage_feed (organisation, seq);

-- What was said before, by its time.
INSERT INTO lineage_feed (organisation, interval, ended)
SELECT organisation, id, ended FROM (
  SELECT organisation, id, 0 AS ended, from_us AS at_us FROM intervals
  UNION ALL SELECT organisation, id, 1, to_us FROM intervals WHERE to_us IS NOT NULL
) ORDER BY at_us, id, ended;

CREATE TRIGGER lineage_interval_began AFTER INSERT ON intervals BEGIN
  INSERT INTO lineage_feed (organisation, interval, ended) VALUES (NEW.organisation, NEW.id, 0);
END;
CREATE TRIGGER lineage_interval_ended AFTER UPDATE OF to_us ON intervals WHEN OLD.to_us IS NULL AND NEW.to_us IS NOT NULL BEGIN
  INSERT INTO lineage_feed (organisation, interval, ended) VALUES (NEW.organisation, NEW.id, 1);
END;
