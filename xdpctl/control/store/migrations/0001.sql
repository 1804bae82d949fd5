-- SPDX-License-Identifier: GPL-2.0-or-later
-- Keys and values. Replacing a row gives it the next revision, so that a watcher can continue from
-- its last revision; a value of NULL is a tombstone, which reports a deletion.
CREATE TABLE entries (
    revision INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    value BLOB
);

-- One row: the epoch names the history, and a watcher can resume from the revision `floor` or later.
CREATE TABLE history (
    epoch TEXT NOT NULL,
    floor INTEGER NOT NULL
);
INSERT INTO history VALUES (lower(hex(randomblob(16))), 0);

CREATE TABLE audit (
    sequence INTEGER PRIMARY KEY,
    record BLOB NOT NULL
);
