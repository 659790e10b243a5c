-- What is not routine (edgeflow_core::event::notable), so that a fault or a link that was lost is found among millions of steps of missions.
ALTER TABLE entries ADD COLUMN notable INTEGER NOT NULL DEFAULT 0;
UPDATE entries SET notable = 1 WHERE class IN (0, 1) AND (kind NOT IN ('mission', 'state', 'points', 'topic_window', 'topic_sample',
  'evaluation', 'inference_summary') OR (kind = 'mission' AND body ->> 'step' = 'failed'));
CREATE INDEX entries_notable ON entries (organisation, id) WHERE notable = 1;
CREATE INDEX entries_notable_by_robot ON entries (robot, id) WHERE notable = 1;
