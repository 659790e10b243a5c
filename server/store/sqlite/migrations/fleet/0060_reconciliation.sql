-- How far the control plane has come with each slot (JSON: slot to version vector), and who holds the robot (JSON; NULL: nobody).
ALTER TABLE targets ADD COLUMN vectors TEXT NOT NULL DEFAULT '{}';
ALTER TABLE targets ADD COLUMN hold TEXT;
