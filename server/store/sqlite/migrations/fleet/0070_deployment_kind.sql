-- What a deployment brings: not every robot has a slot for all of it.
ALTER TABLE deployments ADD COLUMN kind TEXT NOT NULL DEFAULT 'model';
