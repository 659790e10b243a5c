-- From a logged model to the versions it was registered as, for following a dataset.
CREATE INDEX model_versions_by_logged_model ON model_versions (organisation, model_id) WHERE model_id IS NOT NULL;
