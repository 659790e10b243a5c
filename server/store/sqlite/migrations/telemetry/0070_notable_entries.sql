-- What is not routine, so that a fault or a link that was lost is found among millions of steps of missions. The conditions are word for
-- word those of the queries: that is how SQLite knows that it may use these.
CREATE INDEX entries_notable ON entries (organisation, id) WHERE class IN (0, 1) AND (kind NOT IN ('mission', 'state', 'points',
  'topic_window', 'topic_sample', 'evaluation', 'inference_summary') OR (kind = 'mission' AND body ->> 'step' = 'failed'));
CREATE INDEX entries_notable_by_robot ON entries (robot, id) WHERE class IN (0, 1) AND (kind NOT IN ('mission', 'state', 'points',
  'topic_window', 'topic_sample', 'evaluation', 'inference_summary') OR (kind = 'mission' AND body ->> 'step' = 'failed'));
