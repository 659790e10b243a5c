-- What a robot reports of its topics: JSON of version and document; NULL when nothing was ever declared.
ALTER TABLE targets ADD COLUMN policy TEXT;
