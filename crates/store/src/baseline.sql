-- What the baseline knows besides edges; only it reads the data.
CREATE TABLE habit (
    device  INTEGER PRIMARY KEY,
    data    BLOB NOT NULL
) STRICT;

CREATE TABLE site (
    name    TEXT PRIMARY KEY,
    data    BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- What departs from it. What is looked for has a column; the data is the rest.
CREATE TABLE finding (
    id        INTEGER PRIMARY KEY,
    rule      TEXT NOT NULL,
    severity  INTEGER NOT NULL,     -- 0 info to 4 critical
    device    INTEGER,
    transport INTEGER,
    port      INTEGER,
    day       INTEGER NOT NULL,
    first     INTEGER NOT NULL,
    last      INTEGER NOT NULL,
    count     INTEGER NOT NULL,
    data      BLOB NOT NULL
) STRICT;

CREATE INDEX finding_last ON finding (last, id);

-- What went and is only counted.
CREATE TABLE tally (
    name    TEXT PRIMARY KEY,
    n       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What operators decided: entry by entry, each with a hash over itself and the hash of the one before.
CREATE TABLE journal (
    n         INTEGER PRIMARY KEY,
    at        INTEGER NOT NULL,
    who       TEXT NOT NULL,
    decision  TEXT NOT NULL,
    reason    TEXT NOT NULL,
    hash      BLOB NOT NULL
) STRICT;

-- How many entries there are and the hash of the last, so that a cut tail is noticed.
CREATE TABLE journal_head (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    n     INTEGER NOT NULL,
    hash  BLOB NOT NULL
) STRICT;

INSERT INTO journal_head VALUES (1, 0, zeroblob(32));

CREATE TRIGGER journal_keeps BEFORE UPDATE ON journal
BEGIN SELECT RAISE(ABORT, 'the journal is only ever added to'); END;

CREATE TRIGGER journal_stays BEFORE DELETE ON journal
BEGIN SELECT RAISE(ABORT, 'the journal is only ever added to'); END;

-- INSERT OR REPLACE fires no trigger of DELETE.
CREATE TRIGGER journal_goes_on BEFORE INSERT ON journal
WHEN NEW.n <> (SELECT n + 1 FROM journal_head)
BEGIN SELECT RAISE(ABORT, 'the journal is only ever added to'); END;

-- Baselines that were kept under a name: copies of the rows of edges and habits, and what the devices were then.
CREATE TABLE named (
    id      INTEGER PRIMARY KEY,
    name    TEXT NOT NULL UNIQUE,
    made    INTEGER NOT NULL,       -- by the clock of the machine
    last    INTEGER NOT NULL,       -- of the last frame
    edges   INTEGER NOT NULL
) STRICT;

CREATE TABLE named_device (
    named   INTEGER NOT NULL,
    device  INTEGER NOT NULL,
    name    TEXT NOT NULL,
    class   TEXT NOT NULL,
    zone    TEXT,
    PRIMARY KEY (named, device)
) STRICT, WITHOUT ROWID;

CREATE TABLE named_edges (
    named   INTEGER NOT NULL,
    client  INTEGER NOT NULL,
    data    BLOB NOT NULL,
    PRIMARY KEY (named, client)
) STRICT;

CREATE TABLE named_habit (
    named   INTEGER NOT NULL,
    device  INTEGER NOT NULL,
    data    BLOB NOT NULL,
    PRIMARY KEY (named, device)
) STRICT;
