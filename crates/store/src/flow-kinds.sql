-- Whether the conversations of a block were answered. The others are the first to go.
ALTER TABLE flows ADD COLUMN answered INTEGER NOT NULL DEFAULT 1;
