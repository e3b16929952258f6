-- The edges of a client in one row; see edges.rs for what it holds.
CREATE TABLE edges (
    client  INTEGER PRIMARY KEY,
    data    BLOB NOT NULL
) STRICT;
