-- What a bundle had got right before a moment, however long ago it ran last.
CREATE INDEX observations_evaluations ON observations (robot, digest, t_us) WHERE kind = 'evaluation';
