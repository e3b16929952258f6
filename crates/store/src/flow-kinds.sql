-- Whether the conversations of a block were answered. The others are the first to go.
ALTER TABLE flows ADD COLUMN answered INTEGER NOT NULL DEFAULT 1;
-- What is needed to let blocks go, without reading them.
CREATE INDEX flow_kinds ON flows (answered, id, count);
