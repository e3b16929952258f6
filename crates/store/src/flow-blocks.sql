-- Flow records in blocks, oldest first; see flows.rs for what a block holds.
CREATE TABLE flows (
    id      INTEGER PRIMARY KEY,
    run     INTEGER NOT NULL,
    count   INTEGER NOT NULL,
    data    BLOB NOT NULL
) STRICT;
