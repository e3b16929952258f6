-- What the baseline knows besides edges; only it reads the data.
CREATE TABLE habit (
    device  INTEGER PRIMARY KEY,
    data    BLOB NOT NULL
) STRICT;

CREATE TABLE site (
    name    TEXT PRIMARY KEY,
    data    BLOB NOT NULL
) STRICT, WITHOUT ROWID;
