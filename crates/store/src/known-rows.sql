-- What is known of a device, a row for each device and kind of thing. devices.rs says what a row of devices holds, parts.rs
-- what the others do.
CREATE TABLE devices (
    device  INTEGER PRIMARY KEY,
    data    BLOB NOT NULL
) STRICT;

CREATE TABLE evidences (
    device  INTEGER PRIMARY KEY,
    data    BLOB NOT NULL
) STRICT;

CREATE TABLE addresses (
    device  INTEGER PRIMARY KEY,
    data    BLOB NOT NULL
) STRICT;

CREATE TABLE leases (
    device  INTEGER PRIMARY KEY,
    data    BLOB NOT NULL
) STRICT;

CREATE TABLE services (
    device  INTEGER PRIMARY KEY,
    data    BLOB NOT NULL
) STRICT;
