-- Rollouts. `state` is JSON of the whole; beside it is what others look for. `slot` is empty of a policy. `standing`: 0 queued, 1 it holds
-- its robots in its slot, 2 ended.
CREATE TABLE rollouts (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  organisation TEXT    NOT NULL,
  slot         TEXT    NOT NULL,
  phase        TEXT    NOT NULL,
  standing     INTEGER NOT NULL,
  revision     INTEGER NOT NULL,
  state        TEXT    NOT NULL
) STRICT;
CREATE INDEX rollouts_by_organisation ON rollouts (organisation, id);
CREATE INDEX rollouts_by_phase ON rollouts (phase);
CREATE INDEX rollouts_open ON rollouts (id) WHERE standing < 2;

-- `told_*`: the desired state that told it. `before` and `before_policy` are JSON of what was declared before it was told.
CREATE TABLE rollout_robots (
  rollout           INTEGER NOT NULL REFERENCES rollouts (id),
  target            TEXT    NOT NULL REFERENCES targets (name),
  stage             INTEGER NOT NULL,
  phase             TEXT    NOT NULL,
  since_us          INTEGER NOT NULL,
  changed_us        INTEGER NOT NULL,
  waits_since_us    INTEGER,
  wakes_us          INTEGER,
  back              INTEGER NOT NULL,
  reason            TEXT    NOT NULL,
  told_server_epoch INTEGER,
  told_generation   INTEGER,
  served            TEXT    NOT NULL,
  before            TEXT,
  before_policy     TEXT,
  PRIMARY KEY (rollout, target)
) STRICT, WITHOUT ROWID;
CREATE INDEX rollout_robots_by_target ON rollout_robots (target, rollout);
CREATE INDEX rollout_robots_by_phase ON rollout_robots (rollout, stage, phase, back);
CREATE INDEX rollout_robots_late ON rollout_robots (rollout) WHERE phase IN ('deferred', 'updating', 'rolling_back', 'waiting', 'retrying');

-- What happened, never changed. `entry` is JSON; `line`: people hear of it.
CREATE TABLE rollout_history (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  organisation TEXT    NOT NULL,
  rollout      INTEGER NOT NULL REFERENCES rollouts (id),
  at_us        INTEGER NOT NULL,
  line         INTEGER NOT NULL,
  entry        TEXT    NOT NULL
) STRICT;
CREATE INDEX rollout_history_by_rollout ON rollout_history (rollout, id);
CREATE INDEX rollout_history_lines ON rollout_history (organisation, at_us, id) WHERE line = 1;

-- A rollout tells its robots by deployments, one for each lot that it tells at a time.
ALTER TABLE deployments ADD COLUMN rollout INTEGER;
CREATE INDEX deployments_by_rollout ON deployments (rollout) WHERE rollout IS NOT NULL;
