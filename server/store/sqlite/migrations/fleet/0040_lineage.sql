-- Deployments of a bundle, and those that named a robot, however long ago.
CREATE INDEX deployments_by_digest ON deployments (organisation, digest, id);
CREATE INDEX deployment_targets_by_target ON deployment_targets (target, deployment);
