-- What was done to one thing, for timelines of robots and for who did what to a version.
CREATE INDEX audit_by_resource ON audit (organisation, resource, at_us);
