-- What a version is, as JSON: "model", "map", "package" or "config".
ALTER TABLE model_versions ADD COLUMN kind TEXT NOT NULL DEFAULT '"model"';
