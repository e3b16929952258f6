-- When a finding was told; unknown of those there are.
ALTER TABLE finding ADD COLUMN raised INTEGER;
