-- Times are nanoseconds since 1970-01-01T00:00:00Z. VLAN scopes are 12-bit ids packed innermost last (0: untagged).
-- Addresses are text, but for flows, where they are 4 or 16 bytes in network order. Absent text in a key is ''.

CREATE TABLE run (
    id      INTEGER PRIMARY KEY,
    first   INTEGER,             -- of the frames read; NULL when there was none
    last    INTEGER,
    frames  INTEGER NOT NULL,
    report  TEXT NOT NULL        -- what the run was like, as JSON: files, counters, warnings
) STRICT;

CREATE TABLE device (
    id      INTEGER PRIMARY KEY,
    class   TEXT NOT NULL,
    router  INTEGER NOT NULL,
    behind  INTEGER,             -- the device it was heard through
    attached INTEGER NOT NULL,   -- whether it is known where it is plugged in
    switch  TEXT,
    port    TEXT,
    first   INTEGER NOT NULL,
    last    INTEGER NOT NULL
) STRICT;

-- The lists of a device's summary, in their order: key, mac, address, attribute, class (a vote), reason
-- (for a vote), role, vlan, sop_class, implementation.
CREATE TABLE device_item (
    device  INTEGER NOT NULL,
    kind    TEXT NOT NULL,
    n       INTEGER NOT NULL,
    name    TEXT NOT NULL,
    value   TEXT,
    PRIMARY KEY (device, kind, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE evidence (
    device     INTEGER NOT NULL,
    attribute  TEXT NOT NULL,
    value      TEXT NOT NULL,
    source     TEXT NOT NULL,
    field      TEXT NOT NULL,
    confidence INTEGER NOT NULL, -- per cent
    first      INTEGER NOT NULL,
    last       INTEGER NOT NULL,
    count      INTEGER NOT NULL,
    PRIMARY KEY (device, attribute, value, source, field)
) STRICT, WITHOUT ROWID;

CREATE TABLE address (
    device  INTEGER NOT NULL,
    vlan    INTEGER NOT NULL,
    ip      TEXT NOT NULL,
    first   INTEGER NOT NULL,
    last    INTEGER NOT NULL,
    until   INTEGER,
    how     TEXT NOT NULL,
    PRIMARY KEY (device, vlan, ip, first)
) STRICT, WITHOUT ROWID;

CREATE TABLE lease (
    device    INTEGER NOT NULL,
    ts        INTEGER NOT NULL,
    n         INTEGER NOT NULL,
    message   TEXT NOT NULL,
    vlan      INTEGER NOT NULL,
    ip        TEXT,
    server    TEXT,
    relay     TEXT,
    seconds   INTEGER,
    renewal   INTEGER,
    rebinding INTEGER,
    PRIMARY KEY (device, ts, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE service (
    device      INTEGER NOT NULL,
    transport   INTEGER NOT NULL, -- IP protocol number
    port        INTEGER NOT NULL,
    application TEXT,
    first       INTEGER NOT NULL,
    last        INTEGER NOT NULL,
    count       INTEGER NOT NULL,
    PRIMARY KEY (device, transport, port)
) STRICT, WITHOUT ROWID;

CREATE TABLE merge (
    stays      INTEGER NOT NULL,
    goes       INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    why        TEXT NOT NULL,
    undone     INTEGER,
    undone_why TEXT,
    PRIMARY KEY (stays, goes, at)
) STRICT, WITHOUT ROWID;

CREATE TABLE edge (
    client      INTEGER NOT NULL,
    server      INTEGER NOT NULL, -- 0: no device
    peer        TEXT NOT NULL,    -- address of a peer that is no device
    transport   INTEGER NOT NULL,
    port        INTEGER NOT NULL,
    application TEXT NOT NULL,
    first       INTEGER NOT NULL,
    last        INTEGER NOT NULL,
    flows       INTEGER NOT NULL,
    packets_client INTEGER NOT NULL,
    packets_server INTEGER NOT NULL,
    bytes_client   INTEGER NOT NULL,
    bytes_server   INTEGER NOT NULL,
    exchanges   TEXT NOT NULL,    -- JSON: [[kind, outcome or null, count], …]
    latency     BLOB NOT NULL,    -- HdrHistogram V2, microseconds
    PRIMARY KEY (client, server, peer, transport, port, application)
) STRICT, WITHOUT ROWID;

-- Direction: _o originator, _r responder.
CREATE TABLE flow (
    run        INTEGER NOT NULL,
    first_no   INTEGER NOT NULL,
    vlan       INTEGER NOT NULL,
    transport  INTEGER NOT NULL,
    ip_o       BLOB NOT NULL,
    port_o     INTEGER NOT NULL,
    ip_r       BLOB NOT NULL,
    port_r     INTEGER NOT NULL,
    by         INTEGER NOT NULL,  -- why _o is the originator: 0 handshake, 1 service port, 2 first packet
    mac_o      BLOB,
    mac_r      BLOB,
    first      INTEGER NOT NULL,
    last       INTEGER NOT NULL,
    packets_o  INTEGER NOT NULL,
    packets_r  INTEGER NOT NULL,
    bytes_o    INTEGER NOT NULL,
    bytes_r    INTEGER NOT NULL,
    app        TEXT,
    by_content INTEGER NOT NULL,
    state      INTEGER NOT NULL,  -- 0 attempt, 1 rejected, 2 established, 3 closed, 4 reset
    gaps       INTEGER NOT NULL,
    device_o   INTEGER,
    device_r   INTEGER
) STRICT;
