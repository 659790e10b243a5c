-- Children of a run, which name their parent in a tag.
CREATE INDEX run_tags_parents ON run_tags (value) WHERE key = 'mlflow.parentRunId';
