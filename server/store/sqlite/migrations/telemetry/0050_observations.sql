-- Derived: what robots report of how well they work, a line to an entry. `a` to `d` are its numbers, by kind. Gates of rollouts read them of
-- many robots at once, which entries' bodies would be too slow for.
CREATE TABLE observations (
  robot    INTEGER NOT NULL,
  kind     TEXT    NOT NULL,
  t_us     INTEGER NOT NULL,
  entry    INTEGER NOT NULL,
  begin_us INTEGER NOT NULL,
  digest   TEXT    NOT NULL,
  frames   INTEGER NOT NULL,
  a        REAL,
  b        REAL,
  c        REAL,
  d        REAL,
  PRIMARY KEY (robot, kind, t_us, entry)
) STRICT, WITHOUT ROWID;

-- Kept as long as its entry.
CREATE TRIGGER observations_removed AFTER DELETE ON entries
WHEN OLD.kind IN ('inference_summary', 'evaluation', 'drift_report', 'mission', 'application_event') BEGIN
  DELETE FROM observations WHERE robot = OLD.robot AND kind = OLD.kind AND t_us = OLD.t_us AND entry = OLD.id;
END;

-- What was reported before, of the kinds that come one to a line. Drift windows begin anew.
INSERT INTO observations (robot, kind, t_us, entry, begin_us, digest, frames, a, b, c)
SELECT robot, kind, t_us, id, t_us - (body ->> '$.period_us'), body ->> '$.digest', body ->> '$.results',
       CAST(body ->> '$.rate_hz' AS REAL), CAST(body ->> '$.latency_p50_us' AS REAL), CAST(body ->> '$.latency_p95_us' AS REAL)
FROM entries WHERE kind = 'inference_summary' AND (body ->> '$.results') > 0;
INSERT INTO observations (robot, kind, t_us, entry, begin_us, digest, frames, a)
SELECT robot, kind, t_us, id, t_us, body ->> '$.digest', body ->> '$.samples', CAST(body ->> '$.correct' AS REAL)
FROM entries WHERE kind = 'evaluation' AND (body ->> '$.samples') > 0;
INSERT INTO observations (robot, kind, t_us, entry, begin_us, digest, frames, a)
SELECT robot, kind, t_us, id, t_us, '', 1, CASE body ->> '$.step' WHEN 'succeeded' THEN 1.0 ELSE 0.0 END
FROM entries WHERE kind = 'mission' AND (body ->> '$.step') IN ('succeeded', 'failed');
